import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../src/ports/clock.ts'
import { openTables, type Tables } from '../../src/ports/tables/tables.ts'
import type { Line } from './figures.ts'
import { type Call, type Measured, measure } from './measure.ts'

/** What each benchmark works with. */
export interface Ground {
  readonly root: string
  /** Empty, on a disk; removed at the end. */
  readonly scratch: string
  /** Bundled programs of the benchmark. */
  readonly programs: string
  /** Every count of jobs is divided by this. */
  readonly shrink: number
  readonly turns: number
  readonly print: (line: Line) => void
  /** Says what goes on. */
  readonly tell: (text: string) => void
}

export const jobsFor = (ground: Ground, jobs: number): number => Math.max(20, Math.round(jobs / ground.shrink))

/** A count as the table says it. */
export const count = (jobs: number): string => (jobs >= 1e6 ? `${jobs / 1e6} M` : jobs.toLocaleString('en'))

export function floe(ground: Ground, campaign: string | undefined, line: readonly string[]): string[] {
  const named = campaign === undefined ? [] : ['-C', campaign]
  return [process.execPath, join(ground.root, 'dist', 'cli.js'), ...named, ...line]
}

/** A new campaign of two slots; one of the same name is removed. */
export async function freshCampaign(ground: Ground, name: string): Promise<string> {
  const campaign = join(ground.scratch, name)
  rmSync(campaign, { recursive: true, force: true })
  await measure({ argv: floe(ground, undefined, ['init', campaign]) })
  return campaign
}

/** Opens the tables of a campaign in this process, to make what would take hours to run. */
export async function withTables<T>(campaign: string, act: (tables: Tables) => Promise<T>): Promise<T> {
  const tables = await openTables({ root: campaign, cache: join(campaign, '.floe'), clock: systemClock })
  try {
    return await act(tables)
  } finally {
    await tables.close()
  }
}

export interface Turn {
  /** Before each measurement, not measured. */
  readonly before?: () => Promise<void> | void
  readonly call: () => Call
  readonly check?: (measured: Measured) => void
}

/** Measures several works turn by turn, each next to the others, forwards and backwards by turns. */
export async function interleave<Name extends string>(
  turns: number,
  works: Readonly<Record<Name, Turn>>,
): Promise<Record<Name, Measured[]>> {
  const names = Object.keys(works) as Name[]
  const found = Object.fromEntries(names.map((name) => [name, [] as Measured[]])) as Record<Name, Measured[]>
  for (let turn = 0; turn < turns; turn++) {
    for (const name of turn % 2 === 0 ? names : [...names].reverse()) {
      const { before, call, check } = works[name]
      await before?.()
      const measured = await measure(call())
      check?.(measured)
      found[name].push(measured)
    }
  }
  return found
}

export const seconds = (measured: readonly Measured[]): number[] => measured.map(({ wallSec }) => wallSec)
export const peaks = (measured: readonly Measured[]): number[] => measured.map(({ peakBytes }) => peakBytes)

export function emptyFolder(path: string): string {
  rmSync(path, { recursive: true, force: true })
  mkdirSync(path, { recursive: true })
  return path
}
