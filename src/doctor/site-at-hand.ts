import { type Connector, ConnectorError } from '../../connectors/connector.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import type { SiteSetting } from '../config/config.ts'
import type { Site } from '../dispatch/dispatch.ts'
import { FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'

/** A site that is opened for a look: its parts, as a run would use them, and a directory of its own for what is tried there. */
export interface SiteAtHand {
  readonly setting: SiteSetting
  readonly transport: Transport
  readonly connector: Connector
  /** Its arrays lie in `ground`. */
  readonly site: Site
  /** Below scratch, for this look alone; taken away at the end. */
  readonly ground: string
  /** Unique for ever. */
  readonly id: string
  readonly clock: Clock
}

export interface Wishes {
  /** Whether a task is submitted. */
  readonly job: boolean
  /** How long it may wait. */
  readonly waitSec: number
  readonly tell: (doing: string) => void
  readonly signal: AbortSignal
}

/** What went wrong at a site, in words: what was said, and what to do. Anything else is a bug and is thrown again. */
export function troubleOf(error: unknown): { readonly said: string; readonly hint: string } {
  if (error instanceof ConnectorError || error instanceof FloeError) return { said: error.message, hint: error.hint }
  throw error
}

export function medianOf(numbers: readonly number[]): number | null {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted.length === 0 ? null : sorted[Math.floor(sorted.length / 2)]!
}

export const roundedMs = (ms: number | null): number | null => (ms === null ? null : Math.round(ms * 10) / 10)

/** Milliseconds that something took, beside what it gave. */
export async function timed<T>(clock: Clock, act: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const from = clock.ticks()
  const value = await act()
  return { value, ms: clock.ticks() - from }
}

/** `key=value` lines of a script. */
export const pairsOf = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text.split('\n').flatMap((line) => {
      const at = line.indexOf('=')
      return at < 1 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const]
    }),
  )
