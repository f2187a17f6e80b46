import { readdirSync, type Stats, statSync } from 'node:fs'
import type { ManifestInput } from '../../src/model/manifest.ts'

/** Jobs of a batch share inputs, so a look is good for a second. */
const FRESH_MS = 1000
const KEPT_MAX = 20_000

/** Looks at inputs just before they are linked. */
export class InputLook {
  readonly #seen = new Map<string, { at: number; stats: Stats | undefined }>()

  /** What is wrong with an input, in words; `undefined`: it is as planned. */
  differs(input: ManifestInput, now: number): string | undefined {
    const stats = this.#look(input.path, now)
    if (stats === undefined) return `input ${input.name} is not there: ${input.path}`
    if (stats.isDirectory()) return undefined
    return inputDifference(input, { sizeBytes: stats.size, mtimeUs: stats.mtimeMs * 1000 })
  }

  #look(path: string, now: number): Stats | undefined {
    const known = this.#seen.get(path)
    if (known && now - known.at < FRESH_MS) return known.stats
    if (this.#seen.size >= KEPT_MAX) this.#seen.clear()
    const stats = statOf(path)
    this.#seen.set(path, { at: now, stats })
    return stats
  }
}

/** What of a file that is there is not as planned, in words; undefined: nothing. */
export function inputDifference(
  { name, size_bytes, mtime }: ManifestInput,
  there: { readonly sizeBytes: number; readonly mtimeUs: number },
): string | undefined {
  if (size_bytes !== null && there.sizeBytes !== size_bytes)
    return `input ${name} has ${there.sizeBytes} bytes, ${size_bytes} when it was planned`
  // Milliseconds as a double hold microseconds to within 0.25.
  if (mtime !== null && Math.abs(there.mtimeUs - mtime) > 2)
    return `input ${name} was changed ${time(there.mtimeUs / 1000)}, it was of ${time(mtime / 1000)} when it was planned`
  return undefined
}

/** The root that a missing input lies below, when all of it is missing. What may not be read is there. */
export function bareRoot(path: string, roots: readonly string[]): string | undefined {
  const root = roots.find((one) => path.startsWith(one.endsWith('/') ? one : `${one}/`))
  if (root === undefined) return undefined
  try {
    return readdirSync(root).length === 0 ? root : undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? root : undefined
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    // A part of the path is no directory, or may not be entered.
    return undefined
  }
}

const time = (ms: number): string => new Date(ms).toISOString().replace('T', ' ').replace('Z', ' UTC')
