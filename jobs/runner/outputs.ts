import { lstatSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs'
import { join, sep } from 'node:path'
import type { ManifestOutput } from '../../src/model/manifest.ts'

/** A declared output as it lies in the job's directory. */
export interface Produced {
  /** Relative path under which it is published. */
  readonly path: string
  /** Absolute path of the content. */
  readonly source: string
  readonly isDirectory: boolean
  /** `path` leads to `source` by a link. */
  readonly isLinked: boolean
  /** Another name in the directory leads to the same content, so it is copied. */
  readonly isShared: boolean
  readonly stats: Stats
}

export type Collected = { readonly produced: readonly Produced[] } | { readonly problem: string }

const isGlob = (path: string): boolean => /[*?[]/.test(path)

/** A path whose parents are to be made before the job starts: a glob is cut before its first pattern. */
export function fixedParent(path: string): string {
  const clean = path.replace(/\/+$/, '')
  if (!isGlob(clean)) return clean
  const names = clean.split('/')
  return [...names.slice(0, names.findIndex(isGlob)), '*'].join('/')
}

/**
 * Finds what a job was to write. Refuses what lies outside of its directory, also by a link, and what is neither file nor directory.
 * `links` are the names that the runner linked itself: no glob matches them.
 */
export function collectOutputs(root: string, outputs: readonly ManifestOutput[], links: readonly string[]): Collected {
  const produced = new Map<string, Produced>()
  for (const { path, optional } of outputs) {
    const names = isGlob(path) ? matching(root, path, links) : [path]
    if (names.length === 0 && !optional) return { problem: `no output matches ${path}` }
    for (const name of names) {
      const found = look(root, name)
      if (found === undefined) {
        if (optional) continue
        return { problem: `output ${path} is not there` }
      }
      if (typeof found === 'string') return { problem: found }
      produced.set(found.path, found)
    }
  }
  return { produced: withLinked(root, [...produced.values()]) }
}

/** What another output leads to by a link is copied like that one: moved away, it would be missing there. */
function withLinked(root: string, produced: readonly Produced[]): readonly Produced[] {
  const linked = produced.filter(({ isLinked }) => isLinked).map(({ source }) => `${source}/`)
  if (linked.length === 0) return produced
  const real = realpathSync(root)
  const isOf = (path: string): boolean =>
    linked.some((source) => source.startsWith(`${real}/${path}/`) || `${real}/${path}/`.startsWith(source))
  return produced.map((one) => (one.isShared || !isOf(one.path) ? one : { ...one, isShared: true }))
}

/** A glob without a slash at its end matches no directories: among them are those that the runner made. */
function matching(root: string, path: string, links: readonly string[]): string[] {
  const names = expand(root, path).filter((name) => !links.includes(name.replace(/\/$/, '')))
  return path.endsWith('/') ? names : names.filter((name) => !statOf(join(root, name))?.isDirectory())
}

function look(root: string, name: string): Produced | string | undefined {
  const wantsDirectory = name.endsWith('/')
  const path = name.replace(/\/+$/, '')
  let source = `${root}/${path}`
  let stats = statOf(source)
  if (stats === undefined) return undefined
  const isLinked = stats.isSymbolicLink() || hasLinkedParent(root, path)
  if (isLinked) {
    const real = realOf(source)
    if (real === undefined) return `output ${name} is a link to nothing`
    if (!real.startsWith(`${realpathSync(root)}${sep}`))
      return `output ${name} leads outside the job's directory, to ${real}`
    source = real
    stats = statSync(real)
  }
  if (stats.isDirectory()) {
    if (!wantsDirectory) return `output ${name} is a directory; end its name with a slash to publish a directory`
    const stray = strayIn(realpathSync(root), source)
    if (stray !== undefined) return `output ${name} holds a link that leads outside the job's directory: ${stray}`
  } else if (!stats.isFile()) return `output ${name} is neither a file nor a directory`
  else if (wantsDirectory) return `output ${name} is a file, not a directory`
  const isDirectory = stats.isDirectory()
  return { path, source, isDirectory, isLinked, isShared: isLinked || (!isDirectory && stats.nlink > 1), stats }
}

function hasLinkedParent(root: string, path: string): boolean {
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) {
    if (statOf(`${root}/${path.slice(0, at)}`)?.isSymbolicLink()) return true
  }
  return path.split('/').includes('..')
}

/** The first link below a directory that leads out of `root`. */
function strayIn(root: string, directory: string): string | undefined {
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isSymbolicLink()) continue
    const path = join(entry.parentPath, entry.name)
    const real = realOf(path)
    if (real === undefined || !real.startsWith(`${root}${sep}`)) return path.slice(directory.length + 1)
  }
  return undefined
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

function realOf(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}

/** Paths below `root` that match, sorted: `*`, `?` and `[…]` within a name, `**` for any directories. Names that begin with a dot need a dot. */
export function expand(root: string, pattern: string): string[] {
  const wantsDirectory = pattern.endsWith('/')
  let found = ['']
  for (const name of pattern.replace(/\/+$/, '').split('/')) {
    found = found.flatMap((parent) => step(root, parent, name))
  }
  const unique = [...new Set(found)].sort()
  return wantsDirectory ? unique.map((path) => `${path}/`) : unique
}

function step(root: string, parent: string, name: string): string[] {
  const below = (child: string): string => (parent === '' ? child : `${parent}/${child}`)
  if (name === '**') return [parent, ...directoriesBelow(root, parent)]
  if (!isGlob(name)) return statOf(join(root, below(name))) === undefined ? [] : [below(name)]
  const expression = globName(name)
  return entriesOf(join(root, parent))
    .filter((entry) => (!entry.name.startsWith('.') || name.startsWith('.')) && expression.test(entry.name))
    .map((entry) => below(entry.name))
}

function directoriesBelow(root: string, parent: string): string[] {
  return entriesOf(join(root, parent))
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .flatMap((entry) => {
      const path = parent === '' ? entry.name : `${parent}/${entry.name}`
      return [path, ...directoriesBelow(root, path)]
    })
}

function entriesOf(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true })
  } catch {
    return []
  }
}

/** A regular expression for one name of a glob. */
export function globName(name: string): RegExp {
  let source = ''
  for (let at = 0; at < name.length; at++) {
    const sign = name[at]!
    const close = sign === '[' ? name.indexOf(']', at + 2) : -1
    if (sign === '*') source += '[^]*'
    else if (sign === '?') source += '[^]'
    else if (close > 0) {
      const set = name.slice(at + 1, close).replace(/[\\\]^[]/g, '\\$&')
      source += name[at + 1] === '!' || name[at + 1] === '^' ? `[^${set.replace(/^(!|\\\^)/, '')}]` : `[${set}]`
      at = close
    } else source += sign.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  }
  return new RegExp(`^${source}$`, 'u')
}
