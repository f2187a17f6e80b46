import { leastOf } from '../connector.ts'
import { linesOf, numberOf } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { valuesIn } from './options.ts'

/* What a user may submit, by associations and QOS. */

/** What is asked for with each submission, as far as limits hang on it: one of these names; none: what the site gives by itself. */
export interface SlurmWishes {
  readonly accounts: readonly string[]
  readonly queues: readonly string[]
  readonly qos: readonly string[]
}

export const NO_WISHES: SlurmWishes = { accounts: [], queues: [], qos: [] }

/** What a site's settings ask for; its own words for sbatch come last there, and count. */
export function wishesOf({
  account,
  queue,
  options,
}: {
  readonly account: string | null
  readonly queue: string | null
  readonly options: readonly string[]
}): SlurmWishes {
  const namesIn = (long: string, short: string, setting: string | null): readonly string[] =>
    (valuesIn(options, long, short).at(-1) ?? setting ?? '').split(',').filter(Boolean)
  return {
    accounts: namesIn('account', 'A', account),
    queues: namesIn('partition', 'p', queue),
    qos: namesIn('qos', 'q', null),
  }
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
 * How many tasks may be submitted: the least of the association, the accounts above it, and the QOS; where it is not sure which of several
 * is used, the least of all. Where no account is wished for, of the one with the most room; under a tighter one the site refuses, and floe waits.
 */
export function rightsOf(asked: Asked, wishes: SlurmWishes): Rights {
  const { associations, qos, cluster } = asked
  if (associations?.exit !== 0) return NO_RIGHTS
  const above = groupLimits(asked)
  const rows = linesOf(associations.stdout)
    .map((line) => line.split('|'))
    .filter(([, , , , , , , of = '']) => of === '' || of === cluster)
    .map(([account = '', partition = '', all = '', usual = '', submit = '', jobs = '', group = '']) => {
      const qualities = wishes.qos.length > 0 ? wishes.qos : usualOf(usual, all)
      return {
        ...{ account, partition, quality: qualities.join(' or '), jobs: numberOf(jobs) },
        max: leastOf([
          ...[numberOf(submit), numberOf(group), above(account)],
          ...qualities.map((name) => qos.get(name) ?? null),
        ]),
      }
    })
  const notes = rows
    .filter(({ max, jobs }) => max !== null || jobs !== null)
    .map(({ account, partition, quality, max, jobs }) => {
      const where = [`Account ${account}`, partition && `in queue ${partition}`, quality && `with QOS ${quality}`]
      const most = [max !== null && `${max} tasks submitted`, jobs !== null && `${jobs} running`]
      return `${where.filter(Boolean).join(' ')}: at most ${most.filter(Boolean).join(', ')}.`
    })
  const fit = (wished: readonly string[], given: string): boolean =>
    wished.length === 0 || given === '' || wished.includes(given)
  const mine = rows.filter((row) => fit(wishes.accounts, row.account) && fit(wishes.queues, row.partition))
  const maxOf = (wanted: string): number | null =>
    leastOf(mine.filter(({ account }) => account === wanted).map(({ max }) => max))
  const most = [...new Set(mine.map(({ account }) => account))].map(maxOf)
  const isOpen = most.length === 0 || most.includes(null)
  const submitMax = isOpen ? null : Math.max(...most.map((max) => max!))
  return { accounts: [...new Set(rows.map(({ account }) => account))], submitMax, notes }
}

/** The QOS of an association without a wish: its default, or the one that Slurm takes of several. */
function usualOf(usual: string, all: string): readonly string[] {
  if (usual !== '') return [usual]
  const names = all.split(',').filter(Boolean)
  return names.includes('normal') ? ['normal'] : names
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
