import { hostname, networkInterfaces } from 'node:os'
import { hostOf, type NodePlace } from '../../src/model/places.ts'

/** Names and addresses that HDFS may call a node by, in small letters. */
export type OwnNames = ReadonlySet<string>

/** Of this node, with `also`, as the scheduler calls it. */
export function ownNames(also: readonly string[] = []): OwnNames {
  const addresses = Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address))
  const names = [hostname(), ...also].flatMap((name) => [name, shortName(name)])
  return new Set([...names, ...addresses].filter((name) => !LOOPS.has(name)).map((name) => name.toLowerCase()))
}

/** What every node calls itself. */
const LOOPS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1'])

/** `dn1` of `dn1.example.org`; an address has none. */
const shortName = (name: string): string => (/^[\d.]+$|:/.test(name) ? name : (name.split('.')[0] ?? name))

/** Whether a node of HDFS is the one of these names. */
export function isNode(node: NodePlace, own: OwnNames): boolean {
  const host = hostOf(node).toLowerCase()
  return own.has(host) || own.has(shortName(host))
}
