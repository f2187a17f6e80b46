import { endingsOf, type Site, type TaskEnding, watchTasks } from '../dispatch/dispatch.ts'
import { FloeError } from '../model/errors.ts'
import type { Row } from '../ports/tables/tables.ts'
import type { RunContext } from './context.ts'
import type { LiveEvidence } from './show.ts'

/** What a scheduler says of the task in which a job waits or runs. */
export interface QueueWord {
  readonly site: string
  readonly native_id: string
  readonly task: number
  /** Its index in the array; null: any that waits may become this task. */
  readonly element: number | null
  /** Null: it is not listed any more. */
  readonly state: 'queued' | 'held' | 'running' | 'ended' | null
  /** In the scheduler's own word, and what that means. */
  readonly reason: string | null
  readonly meaning: string | null
  readonly clears: 'will clear' | 'needs you' | 'never' | null
}

/** What accounting says of the task of an attempt. */
export interface AccountingWord {
  readonly try: number
  readonly revision: number
  readonly word: string
  readonly exit: number | null
  readonly signal: number | null
  readonly node: string | null
  readonly memory_max_bytes: number | null
}

export interface SiteWords {
  readonly queue: QueueWord | null
  readonly accounting: readonly AccountingWord[]
  /** Sites that could not be asked, and why. */
  readonly silent: readonly { readonly site: string; readonly why: string }[]
}

/** Where a job is under way. */
type LivePlace = Pick<LiveEvidence, 'site' | 'array' | 'task' | 'element' | 'tasks'>

/** Attempts that accounting is asked about: the newest. */
const ASKED_MAX = 10

/**
 * Asks sites about one job: the queue when it is under way, accounting about attempts that did not succeed. This machine is not asked, for
 * its records say it all. Costs two or three commands; a site that does not answer is named, and nothing else is missing for it.
 */
export async function askSites(
  { openSite }: Pick<RunContext, 'openSite'>,
  { live, attempts }: { live: LivePlace | null; attempts: readonly Row[] },
): Promise<SiteWords> {
  const silent: { site: string; why: string }[] = []
  const asked = async <T>(name: string, ask: (site: Site) => Promise<T>): Promise<T | undefined> => {
    try {
      return await ask(await openSite(name))
    } catch (error) {
      if (!(error instanceof FloeError)) throw error
      if (!silent.some(({ site }) => site === name)) silent.push({ site: name, why: error.message })
      return undefined
    }
  }
  const queue = live && live.site !== 'local' ? await asked(live.site, (site) => queueWord(site, live)) : undefined
  const accounting: AccountingWord[] = []
  const failed = attempts.filter(({ site, native_id, class: failure }) => site !== 'local' && native_id && failure)
  for (const name of new Set(failed.map(({ site }) => site as string))) {
    const own = failed.filter(({ site }) => site === name).slice(0, ASKED_MAX)
    for (const word of (await asked(name, (site) => accountingWords(site, own))) ?? []) accounting.push(word)
  }
  return { queue: queue ?? null, accounting, silent }
}

async function queueWord(site: Site, { array, task, element, tasks }: LivePlace): Promise<QueueWord | null> {
  const { nativeId } = await site.submission(array)
  if (nativeId === undefined) return null
  const connector = await site.connector()
  const reports = await watchTasks(connector, new Map([[nativeId, tasks]]))
  if (!reports) throw new FloeError('SITE_UNREACHABLE', `the scheduler of ${site.name} did not answer`)
  const own = reports.filter(({ id }) => id === nativeId)
  const report =
    element === null
      ? own.find(({ state }) => state === 'queued' || state === 'held')
      : own.find(({ index }) => index === element)
  const reason = report?.reason ?? null
  const waits = (report?.state === 'queued' || report?.state === 'held') && reason !== null
  const meaning = waits ? connector.waiting(reason) : undefined
  return {
    ...{ site: site.name, native_id: nativeId, task, element, state: report?.state ?? null, reason },
    ...{ meaning: meaning?.sentence ?? null, clears: meaning?.clears ?? null },
  }
}

async function accountingWords(site: Site, attempts: readonly Row[]): Promise<AccountingWord[]> {
  const ids = [...new Set(attempts.map(({ native_id }) => native_id as string))]
  const endings = (await endingsOf(await site.connector(), ids)) ?? []
  return attempts.flatMap((attempt) => {
    const ending = endings.find(({ id, index }) => id === attempt.native_id && index === attempt.task)
    return ending ? [wordOf(attempt, ending)] : []
  })
}

const wordOf = (
  { try: nth, revision }: Row,
  { word, exit, signal, node, memoryMaxBytes }: TaskEnding,
): AccountingWord => ({
  ...{ try: Number(nth), revision: Number(revision), word, exit, signal, node, memory_max_bytes: memoryMaxBytes },
})
