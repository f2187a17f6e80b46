import { hostname, networkInterfaces } from 'node:os'

/** What others may call this node. */
export interface ThisNode {
  readonly names: readonly string[]
  readonly addresses: readonly string[]
}

/** `scheduler`: as that one calls it. */
export const thisNode = (scheduler?: string): ThisNode => ({
  names: [hostname(), ...(scheduler === undefined ? [] : [scheduler])],
  addresses: Object.values(networkInterfaces()).flatMap((some = []) => some.map(({ address }) => address)),
})

/** By a name, also where one of the two is short, or by an address. */
export function isHere(host: string, { names, addresses }: ThisNode): boolean {
  const there = host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
  if (addresses.includes(there)) return true
  const isName = !/^[\d.]+$|:/.test(there)
  return names.some((name) => {
    const here = name.toLowerCase()
    return there === here || (isName && there.includes('.') !== here.includes('.') && first(there) === first(here))
  })
}

const first = (name: string): string | undefined => name.split('.')[0]
