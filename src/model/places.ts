/*
 * File `places` in an array's directory, version 1: where the inputs of its tasks lie, on a site whose nodes are data nodes of HDFS. One JSON
 * document; docs/formats-site.md says each field. It is advice: a task runs anywhere, and an array without the file is whole.
 */

/** A node as HDFS's topology names it: its rack, a slash and its host name, `/rack1/dn1.example.org`. */
export type NodePlace = string

export interface Places {
  /** All that hold something of the array. */
  readonly nodes: readonly NodePlace[]
  /** For each task: [index into `nodes`, bytes of the task's distinct inputs that lie there], most first. */
  readonly tasks: readonly (readonly (readonly [number, number])[])[]
}

/** Nodes that are told of a task. */
export const PLACES_MAX = 8

export const nodePlace = (rack: string, host: string): NodePlace => `${rack}/${host}`
export const rackOf = (node: NodePlace): string => node.slice(0, node.lastIndexOf('/'))
export const hostOf = (node: NodePlace): string => node.slice(node.lastIndexOf('/') + 1)

/** `bytes`: for each task, node → bytes of its distinct inputs there. Equal bytes are told in the order of names, so the text is always the same. */
export function encodePlaces(bytes: readonly ReadonlyMap<NodePlace, number>[]): string {
  const told = bytes.map((one) => [...one].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, PLACES_MAX))
  const nodes = [...new Set(bytes.flatMap((one) => [...one.keys()]))].sort()
  const index = new Map(nodes.map((node, at) => [node, at]))
  const tasks = told.map((one) => one.map(([node, count]) => [index.get(node)!, count]))
  return `${JSON.stringify({ v: 1, nodes, tasks })}\n`
}

/** What cannot be read, or is of another version, advises nothing. */
export function parsePlaces(text: string): Places {
  try {
    const { v, nodes, tasks } = JSON.parse(text) as { v: unknown } & Places
    const isPlace = (place: unknown): boolean =>
      Array.isArray(place) && typeof nodes[place[0]] === 'string' && Number.isFinite(place[1])
    if (v === 1 && nodes.every((node) => typeof node === 'string') && tasks.every((task) => task.every(isPlace)))
      return { nodes, tasks }
  } catch {
    // Not JSON, or JSON of another form.
  }
  return { nodes: [], tasks: [] }
}
