import {
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { ManifestJob } from '../../src/model/manifest.ts'
import { fixedParent } from './outputs.ts'
import { hasProc } from './processes.ts'

interface Link {
  readonly name: string
  /** What it leads to. */
  readonly path: string
}

/** A job's own directory, and what the runner put into it. */
export interface Sandbox {
  readonly path: string
  readonly links: readonly Link[]
  /** Folders that were made, parents first. */
  readonly folders: readonly string[]
}

/** Released directories that wait for a look; more are removed instead. */
const WAITING_MAX = 2000

/**
 * Directories of jobs, each empty but for links to its inputs and the parents of its outputs. A directory is used again when the job left
 * it as it was and a look has shown that no process of the job is left either: making and removing two directories a job costs more than
 * all else that the runner does (on ext4 with `discard` and no journal, 2 ms each to remove). Its links stay, 0.3 ms each to make, for the
 * next job with the same inputs: those of a batch share them. What has to be removed is removed beside the work.
 */
export class SandboxPool {
  readonly #root: string
  /** By their folders, then by their links. */
  readonly #free = new Map<string, Map<string, Sandbox[]>>()
  /** Released and not yet looked at, by slot. */
  readonly #waiting = new Map<number, Sandbox[]>()
  /** Of a new directory: a umask, or a group that is inherited, may have changed what was asked for. */
  readonly #mode: number
  #count = 0

  constructor(root: string) {
    this.#root = root
    const first = this.#new([])
    this.#mode = lstatSync(first.path).mode
    this.#put(first)
  }

  /** A name that no directory has had. */
  newPath = (): string => `${this.#root}/${this.#count++}`

  make(job: ManifestJob): Sandbox {
    const links = linksOf(job)
    const folders = foldersOf(links, job)
    const free = this.#take(folders, links)
    if (free !== undefined) {
      if (linksKey(free.links) === linksKey(links)) return free
      try {
        for (const { name } of free.links) unlinkSync(`${free.path}/${name}`)
        return this.#link(free, links)
      } catch {
        // Another job took it away: a new one shows whether that is all.
      }
    }
    return this.#link(this.#new(folders), links)
  }

  /** Takes a directory back after its job. */
  release(sandbox: Sandbox, slot: number): void {
    const waiting = this.#waiting.get(slot) ?? []
    if (!hasProc || waiting.length >= WAITING_MAX || !this.#isAsMade(sandbox)) this.#remove(sandbox.path)
    else if (waiting.push(sandbox) === 1) this.#waiting.set(slot, waiting)
  }

  /** The directory of a job that never started. */
  giveBack(sandbox: Sandbox): void {
    if (this.#isAsMade(sandbox)) this.#put(sandbox)
    else this.#remove(sandbox.path)
  }

  /** No process of the jobs that ended on a slot is left. */
  settle(slot: number): void {
    for (const sandbox of this.#waiting.get(slot)?.splice(0) ?? []) this.#put(sandbox)
  }

  #isAsMade({ path, links, folders }: Sandbox): boolean {
    try {
      if (links.some((link) => readlinkSync(`${path}/${link.name}`) !== link.path)) return false
      let inside = 0
      for (const folder of ['', ...folders]) {
        if (lstatSync(`${path}/${folder}`).mode !== this.#mode) return false
        inside += readdirSync(`${path}/${folder}`).length
      }
      return inside === folders.length + links.length
    } catch {
      return false
    }
  }

  /** One with these links if there is any, else any with these folders. */
  #take(folders: readonly string[], links: readonly Link[]): Sandbox | undefined {
    const alike = this.#free.get(foldersKey(folders))
    if (alike === undefined) return undefined
    const wanted = linksKey(links)
    const [key, free] = alike.has(wanted) ? [wanted, alike.get(wanted)!] : alike.entries().next().value!
    const sandbox = free.pop()
    if (free.length === 0) alike.delete(key)
    if (alike.size === 0) this.#free.delete(foldersKey(folders))
    return sandbox
  }

  #link({ path, folders }: Sandbox, links: readonly Link[]): Sandbox {
    try {
      for (const { name, path: target } of links) symlinkSync(target, `${path}/${name}`)
      return { path, links, folders }
    } catch (error) {
      this.#remove(path)
      throw error
    }
  }

  #put(sandbox: Sandbox): void {
    const [folders, links] = [foldersKey(sandbox.folders), linksKey(sandbox.links)]
    const alike = this.#free.get(folders) ?? new Map<string, Sandbox[]>()
    this.#free.set(folders, alike)
    const free = alike.get(links)
    if (free) free.push(sandbox)
    else alike.set(links, [sandbox])
  }

  #new(folders: readonly string[]): Sandbox {
    const path = this.newPath()
    mkdirSync(path, 0o700)
    for (const folder of folders) mkdirSync(`${path}/${folder}`, 0o700)
    return { path, links: [], folders }
  }

  #remove(path: string): void {
    rm(path, { recursive: true, force: true }).catch(() => {
      // A process that is left may write there still; the whole root goes at the end of the task.
    })
  }
}

function linksOf({ inputs, files = [] }: ManifestJob): Link[] {
  return [...inputs, ...files].map(({ name, path }) => ({ name: name.replace(/\/+$/, ''), path }))
}

function foldersOf(links: readonly Link[], job: ManifestJob): string[] {
  const folders: string[] = []
  const add = (name: string): void => {
    if (!name.includes('/')) return
    const parent = dirname(name)
    if (parent === '.' || folders.includes(parent)) return
    add(parent)
    folders.push(parent)
  }
  for (const { name } of links) add(name)
  for (const { path } of job.outputs) add(fixedParent(path))
  return folders
}

const foldersKey = (folders: readonly string[]): string => folders.join('\0')
const linksKey = (links: readonly Link[]): string => links.map(({ name, path }) => `${name}\0${path}`).join('\0')

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
