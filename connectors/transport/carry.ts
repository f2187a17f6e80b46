import { posix } from 'node:path'
import { ConnectorError } from '../connector.ts'
import { copy, type Haul, type Part, type Route, tell } from './part.ts'
import type { Side } from './side.ts'
import { each } from './slots.ts'
import type { Carried } from './transport.ts'

/** Files of a group that are carried at once. */
const FILES_AT_ONCE = 24
/** A group shares its commands (folders, digests): bounded so that a command line holds its names and little is lost when one is cut. */
const GROUP = { files: 256, bytesOfNames: 60_000 }

/** Of two for one target the later one counts. */
export function toHauls(files: readonly Carried[], way: 'send' | 'fetch'): Haul[] {
  const hauls = files.map(({ here, there, digest, mode = 0o600 }) => ({
    ...(way === 'send' ? { from: here, to: there } : { from: there, to: here }),
    ...{ digest, mode },
  }))
  return [...new Map(hauls.map((haul) => [haul.to, haul])).values()]
}

/** The groups in which files are carried. */
export function groupsOf(hauls: readonly Haul[]): Haul[][] {
  const groups: Haul[][] = []
  let names = Number.POSITIVE_INFINITY
  for (const haul of hauls) {
    // Quoting can make a name longer, a folder comes on top.
    const size = Buffer.byteLength(haul.to) * 2
    if (names + size > GROUP.bytesOfNames || groups.at(-1)!.length >= GROUP.files) {
      groups.push([])
      names = 0
    }
    names += size
    groups.at(-1)!.push(haul)
  }
  return groups
}

/**
 * Carries a group: folders made, what is there already with its digest left alone, the rest written beside its target, checked, renamed. A
 * large file that was cut goes on where it stopped the next time. Rejects with the first failure, after what was under way has ended.
 */
export async function carry(group: readonly Haul[], route: Route): Promise<void> {
  const parts: Part[] = []
  try {
    const wanted = await absent(group, route)
    await each(wanted, FILES_AT_ONCE, async (haul) => void parts.push(await copy(haul, route, 'go on')))
    const wrong = new Set(await mismatches(parts, route))
    // Its beginning came from an earlier try and may be torn.
    const again = [...wrong].filter(({ isResumed }) => isResumed)
    const anew: Part[] = []
    await each(again, FILES_AT_ONCE, async ({ haul }) => void anew.push(await copy(haul, route, 'anew')))
    parts.push(...anew)
    for (const part of again) wrong.delete(part)
    for (const part of await mismatches(anew, route)) wrong.add(part)
    const good = parts.filter((part) => !wrong.has(part) && !again.includes(part))
    await publish(good, route)
    for (const { path } of [...wrong, ...again]) await route.to.remove(path).catch(() => undefined)
    if (wrong.size > 0) throw notAsNamed([...wrong].map(({ haul }) => haul))
  } finally {
    for (const { path } of parts) route.names.give(path)
  }
}

function notAsNamed(hauls: readonly Haul[]): ConnectorError {
  const [{ from, to, digest }] = hauls as [Haul]
  const more = hauls.length > 1 ? ` (and ${hauls.length - 1} more like it)` : ''
  return new ConnectorError(
    'unreadable',
    `${from} is not what its digest ${digest} says; ${to} was not written${more}`,
    'The file changed since its digest was taken, or was damaged on its way: take its digest again, then carry it again.',
  )
}

/** Those that are not there with their digest. */
async function absent(group: readonly Haul[], { to, signal }: Route): Promise<Haul[]> {
  signal.throwIfAborted()
  const folders = [...new Set(group.map((haul) => posix.dirname(haul.to)))]
  await tell(to, folders[0]!, 'make the folder', () => to.makeFolders(folders))
  const named = group.filter(({ digest }) => digest !== undefined)
  if (named.length === 0) return [...group]
  const found = await tell(to, folders[0]!, 'read files in', () => to.digests(named.map((haul) => haul.to)))
  const there = new Set(named.filter(({ digest }, at) => found[at] === digest))
  return group.filter((haul) => !there.has(haul))
}

/** Parts that are not what their digests say. */
async function mismatches(parts: readonly Part[], { to, signal }: Route): Promise<Part[]> {
  signal.throwIfAborted()
  const named = parts.filter(({ haul }) => haul.digest !== undefined)
  if (named.length === 0) return []
  const found = await tell(to, named[0]!.haul.to, 'check', () => to.digests(named.map(({ path }) => path)))
  const wrong = named.filter(({ haul }, at) => found[at] !== haul.digest)
  if (wrong.length === 0) return []
  // Somebody who carries the same content at the same time may have been first.
  const there = await to.digests(wrong.map(({ haul }) => haul.to))
  return wrong.filter(({ haul }, at) => there[at] !== haul.digest)
}

async function publish(parts: readonly Part[], { to, signal }: Route): Promise<void> {
  signal.throwIfAborted()
  if (parts.length === 0) return
  const failures = await to.rename(parts.map(({ path, haul }) => ({ from: path, to: haul.to })))
  for (const [at, part] of parts.entries()) {
    const failure = failures[at]
    if (failure !== undefined && !(await isDone(part, to))) throw await to.explain(failure, part.haul.to, 'write')
  }
}

/** Somebody who carried the same content at the same time has renamed the part that both wrote. */
async function isDone({ path, haul, sizeBytes }: Part, to: Side): Promise<boolean> {
  try {
    if (haul.digest !== undefined) return (await to.digests([haul.to]))[0] === haul.digest
    const target = await to.openToRead(haul.to)
    await target.close()
    const left = await to.openToRead(path).catch(() => undefined)
    await left?.close()
    return left === undefined && target.sizeBytes === sizeBytes
  } catch {
    return false
  }
}
