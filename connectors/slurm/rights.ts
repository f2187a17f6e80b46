import { linesOf, numberOf } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'

/* What a user may submit, by associations and QOS. */

/** What is asked for with each submission, as far as limits hang on it; null: what the site gives by itself. */
export interface SlurmWishes {
  readonly account: string | null
  readonly queue: string | null
  readonly qos: string | null
}

export interface Rights {
  readonly accounts: readonly string[]
  readonly submitMax: number | null
  readonly notes: readonly string[]
}

export const NO_RIGHTS: Rights = { accounts: [], submitMax: null, notes: [] }

interface Asked {
  readonly associations: Output | undefined
  readonly groups: Output | undefined
  readonly qos: ReadonlyMap<string, number | null>
  readonly cluster: string
}

/** The QOS that words for sbatch ask for. */
export function qosIn(options: readonly string[]): string | null {
  const text = options.join('\0')
  return /(?:^|\0)(?:--qos[=\0]|-q\0?)([^\0]+)/.exec(text)?.[1] ?? null
}

/** Tasks that one user may have submitted with each QOS: for a user, an account, and all users together. */
export function qualitiesOf(qualities: Output | undefined): ReadonlyMap<string, number | null> {
  const lines = qualities?.exit === 0 ? linesOf(qualities.stdout) : []
  return new Map(
    lines.map((line) => {
      const [name = '', perUser = '', perAccount = '', , , all = ''] = line.split('|')
      return [name, leastOf([perUser, perAccount, all].map(numberOf))]
    }),
  )
}

/**
 * How many tasks may be submitted: the least of the association, the accounts above it, and the QOS. Where no account is wished for, of the
 * one with the most room; under a tighter one the site refuses, and floe waits.
 */
export function rightsOf(asked: Asked, wishes: SlurmWishes): Rights {
  const { associations, qos, cluster } = asked
  if (associations?.exit !== 0) return NO_RIGHTS
  const above = groupLimits(asked)
  const rows = linesOf(associations.stdout)
    .map((line) => line.split('|'))
    .filter(([, , , , , , , of = '']) => of === '' || of === cluster)
    .map(([account = '', partition = '', all = '', usual = '', submit = '', jobs = '', group = '']) => {
      const quality = wishes.qos ?? (usual || (all.includes(',') ? '' : all))
      return {
        ...{ account, partition, quality, jobs: numberOf(jobs) },
        max: leastOf([numberOf(submit), numberOf(group), above(account), qos.get(quality) ?? null]),
      }
    })
  const notes = rows
    .filter(({ max, jobs }) => max !== null || jobs !== null)
    .map(({ account, partition, quality, max, jobs }) => {
      const where = [`Account ${account}`, partition && `in queue ${partition}`, quality && `with QOS ${quality}`]
      const most = [max !== null && `${max} tasks submitted`, jobs !== null && `${jobs} running`]
      return `${where.filter(Boolean).join(' ')}: at most ${most.filter(Boolean).join(', ')}.`
    })
  const fit = (wished: string | null, given: string): boolean => wished === null || given === '' || given === wished
  const mine = rows.filter((row) => fit(wishes.account, row.account) && fit(wishes.queue, row.partition))
  const isOpen = mine.length === 0 || mine.some(({ max }) => max === null)
  const submitMax = isOpen ? null : Math.max(...mine.map(({ max }) => max!))
  return { accounts: [...new Set(rows.map(({ account }) => account))], submitMax, notes }
}

/** The least GrpSubmit of an account and of those above it. */
function groupLimits({ groups, cluster }: Asked): (account: string) => number | null {
  const known = new Map<string, { parent: string; max: number | null }>()
  for (const line of groups?.exit === 0 ? linesOf(groups.stdout) : []) {
    const [account = '', user = '', parent = '', max = '', of = ''] = line.split('|')
    if (user === '' && of === cluster) known.set(account, { parent, max: numberOf(max) })
  }
  return (account) => {
    const limits: (number | null)[] = []
    const seen = new Set<string>()
    for (let at = account; known.has(at) && !seen.has(at); at = known.get(at)!.parent) {
      seen.add(at)
      limits.push(known.get(at)!.max)
    }
    return leastOf(limits)
  }
}

export function leastOf(numbers: readonly (number | null)[]): number | null {
  const known = numbers.filter((number) => number !== null)
  return known.length === 0 ? null : Math.min(...known)
}
