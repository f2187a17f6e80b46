import type { PolicyRule } from '../config/config.ts'
import { classesThat, type Policy } from './policy.ts'

/*
 * What the next try of a job asks for, as SQL over `j` (jobs) and `l` (its last failed attempt: class, memory_bytes, walltime_sec,
 * memory_max_bytes, node, jobs of its batch, tries, published_at). Steps are whole powers of a rule's factor, so that jobs that failed alike ask alike and
 * share arrays.
 */

/** A job is kept from a node for so long. */
const KEPT_FROM_SEC = 3600
/** What was measured is a sample, and a little below what was used. */
const OVER_MEASURED = 1.1

const named = (classes: readonly string[]): string =>
  classes.length === 0 ? `('')` : `(${classes.map((name) => `'${name}'`).join(', ')})`

/** Whether the next try asks for more than the one before. */
export const isGrown = (policy: Policy): string =>
  `coalesce(l.class in ${named(classesThat(policy, 'memory', 'walltime'))}, false)`

/** Bytes, null where none was asked and none was measured; never less than the last try had. */
export function memoryOf(policy: Policy): string {
  const had = 'coalesce(l.memory_bytes, j.resources.memory_bytes)'
  return stepped(policy, 'memory', had, ({ factor }) => {
    const measured = `l.memory_max_bytes * ${OVER_MEASURED}`
    const steps = (over: string) => `ceil(ln(${over}) / ln(${factor}))`
    return `case when ${had} is null then pow(${factor}, ${steps(measured)})
      else ${had} * pow(${factor}, greatest(1, coalesce(${steps(`${measured} / ${had}`)}, 1))) end`
  })
}

/** Seconds, null where none was asked. */
export function walltimeOf(policy: Policy): string {
  const had = 'coalesce(l.walltime_sec, j.resources.walltime_sec)'
  return stepped(policy, 'walltime', had, ({ factor }) => `${had} * ${factor}`)
}

function stepped(
  policy: Policy,
  action: 'memory' | 'walltime',
  had: string,
  more: (rule: PolicyRule) => string,
): string {
  const cases = classesThat(policy, action).map((name) => {
    const { cap } = policy[name]
    const bounded = cap === null ? more(policy[name]) : `least(${more(policy[name])}, ${cap})`
    return `when '${name}' then greatest(${had}, round(${bounded}))`
  })
  const value = cases.length === 0 ? had : `case l.class ${cases.join(' ')} else ${had} end`
  return action === 'memory' ? `(${value})::bigint` : `(${value})::double`
}

/** Most jobs of the batch of its next try; null: as many as others. */
export const jobsMaxOf = (policy: Policy): string =>
  `case when l.class in ${named(classesThat(policy, 'split'))} then greatest(1, (l.jobs + 1) // 2)::integer end`

/**
 * The node that its next try is kept from; null: none. Only where another node of the site is known to have worked: a task that no node may
 * take would wait for ever.
 */
export function avoidedBy(policy: Policy, { site, nowMs }: { site: string; nowMs: number }): string {
  return `case when l.class in ${named(classesThat(policy, 'elsewhere'))} and l.node is not null and l.site = '${site}'
      and l.published_at > make_timestamptz(${Math.round((nowMs - KEPT_FROM_SEC * 1000) * 1000)})
      and ((select min(node) from good_nodes) <> l.node or (select max(node) from good_nodes) <> l.node) then l.node end`
}

/** When it may be tried again, as a timestamp; null: now. */
export function waitOf(policy: Policy): string {
  const cases = Object.entries(policy)
    .filter(([, { waitSec }]) => waitSec > 0)
    .map(([name, { waitSec }]) => `when '${name}' then ${waitSec}`)
  if (cases.length === 0) return 'null::timestamptz'
  return `l.published_at + to_seconds((case l.class ${cases.join(' ')} end) * pow(2, least(l.tries, 12) - 1))`
}
