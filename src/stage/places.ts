import type { ManifestJob } from '../model/manifest.ts'
import { encodePlaces, type NodePlace } from '../model/places.ts'
import { isHdfs } from './site-path.ts'

/** Bytes of an input, by its address, at each node; undefined: not known. */
export type NodesOf = (url: string) => Readonly<Record<NodePlace, number>> | undefined

/** Text of the file `places` for that many tasks; undefined when nothing is known of any. Each input of a task counts once. */
export function placesText(
  tasks: readonly number[],
  lines: ReadonlyMap<number, readonly ManifestJob[]>,
  nodesOf: NodesOf,
): string | undefined {
  const places: Map<NodePlace, number>[] = []
  for (const task of tasks) {
    const urls = new Set((lines.get(task) ?? []).flatMap(({ inputs }) => inputs.map(({ path }) => path)).filter(isHdfs))
    const bytes = new Map<NodePlace, number>()
    for (const url of urls) {
      for (const [node, count] of Object.entries(nodesOf(url) ?? {}))
        if (count > 0) bytes.set(node, (bytes.get(node) ?? 0) + count)
    }
    places[task] = bytes
  }
  // A task without jobs has a place in the list all the same.
  const all = Array.from(places, (bytes) => bytes ?? new Map<NodePlace, number>())
  return all.some(({ size }) => size > 0) ? encodePlaces(all) : undefined
}
