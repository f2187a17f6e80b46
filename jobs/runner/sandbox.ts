import {
  cpSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { ManifestInput, ManifestJob } from '../../src/model/manifest.ts'
import { fixedParent } from './outputs.ts'

/** A job's own directory: what the runner put into it, so that it can be taken away without listing. */
export interface Sandbox {
  readonly path: string
  readonly links: readonly string[]
  readonly folders: readonly string[]
}

/** Makes the empty directory of a job, with its inputs and helper files linked and the parents of its outputs made. */
export function makeSandbox(path: string, job: ManifestJob): Sandbox {
  const links: string[] = []
  const folders: string[] = []
  const makeParents = (name: string): void => {
    if (!name.includes('/')) return
    const parent = dirname(name)
    if (parent === '.' || folders.includes(parent)) return
    makeParents(parent)
    mkdirSync(join(path, parent), { mode: 0o700 })
    folders.push(parent)
  }
  const link = ({ name, path: target }: ManifestInput): void => {
    const clean = name.replace(/\/+$/, '')
    makeParents(clean)
    symlinkSync(target, `${path}/${clean}`)
    links.push(clean)
  }
  mkdirSync(path, 0o700)
  for (const input of job.inputs) link(input)
  for (const file of job.files ?? []) link(file)
  for (const output of job.outputs) makeParents(fixedParent(output.path))
  return { path, links, folders }
}

/** Takes a sandbox away: first what the runner knows, in few calls; what else the job left, by walking. */
export function removeSandbox({ path, links, folders }: Sandbox): void {
  try {
    for (const link of links) unlinkSync(`${path}/${link}`)
    for (let i = folders.length - 1; i >= 0; i--) rmdirSync(`${path}/${folders[i]}`)
    rmdirSync(path)
  } catch {
    removeTree(path)
  }
}

export function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true })
  } catch {
    // Leftover processes may still write there; the whole root goes at the end of the task.
  }
}

/** Kept sandboxes of failed jobs: `sandboxes/` in the array's directory, the newest `max` over all arrays of the campaign. */
export class KeptSandboxes {
  readonly #array: string
  readonly #max: number
  readonly #kept: string[] = []
  #wasFull = false

  constructor(array: string, max: number) {
    this.#array = array
    this.#max = max
  }

  /** Moves a sandbox there; its path relative to the array's directory, or null when none is kept. */
  keep(path: string, name: string): string | null {
    if (this.#max <= 0) return null
    const kept = `sandboxes/${name}`
    const target = join(this.#array, kept)
    if (this.#kept.length === 0) mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
    try {
      renameSync(path, target)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EXDEV') return null
      try {
        cpSync(path, target, { recursive: true, verbatimSymlinks: true })
      } catch {
        return null
      }
    }
    this.#kept.push(target)
    if (this.#kept.length > this.#max) {
      removeTree(this.#kept.shift()!)
      this.#wasFull = true
    }
    return kept
  }

  /** Removes the oldest over all arrays. Lists one directory an array, so it is for the end of a task that kept some. */
  prune(): void {
    if (this.#kept.length === 0 && !this.#wasFull) return
    const arrays = dirname(this.#array)
    const all = namesIn(arrays)
      .flatMap((array) =>
        namesIn(join(arrays, array, 'sandboxes')).map((name) => join(arrays, array, 'sandboxes', name)),
      )
      .map((path) => ({ path, at: statSync(path, { throwIfNoEntry: false })?.ctimeMs ?? 0 }))
      .sort((a, b) => b.at - a.at)
    for (const { path } of all.slice(this.#max)) removeTree(path)
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

export const sandboxName = (task: string, path: string): string => `${task}.${basename(path)}`
