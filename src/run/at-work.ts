import { readCacheFile, writeCacheFile } from './cache-file.ts'
import type { LiveArray } from './live-array.ts'

/*
 * .floe/at-work.json: what a run that is going on says of itself, for `status`. Nothing rests on it, and it may be deleted at any time. One
 * object: {"pid", "sites": [{"site", "tasks_running", "tasks_queued", "tasks_max", "tasks_others", "waiting", "next_look_at"} …]}; times are milliseconds
 * since 1970.
 */

export interface AtWork {
  readonly pid: number
  readonly sites: readonly SiteAtWork[]
}

export interface SiteAtWork {
  readonly site: string
  readonly tasks_running: number
  readonly tasks_queued: number
  /** Tasks that the site takes of this user; null: as many as there are. */
  readonly tasks_max: number | null
  /** Tasks that other campaigns of this user have open there, where they are counted. */
  readonly tasks_others: number
  /** What holds the campaign back, in words. */
  readonly waiting: string | null
  readonly next_look_at: number
}

export function countTasks(arrays: Iterable<LiveArray>): Pick<SiteAtWork, 'tasks_running' | 'tasks_queued'> {
  const counts = { tasks_running: 0, tasks_queued: 0 }
  for (const { openTasks, unstartedTasks } of arrays) {
    counts.tasks_running += openTasks.length - unstartedTasks.length
    counts.tasks_queued += unstartedTasks.length
  }
  return counts
}

const FILE = 'at-work.json'

export const tellAtWork = (cache: string, news: AtWork): void => writeCacheFile(cache, FILE, news)

/** What the run of that process said last. */
export function readAtWork(cache: string, pid: number): AtWork | null {
  const news = readCacheFile(cache, FILE) as AtWork | null | undefined
  return news?.pid === pid && Array.isArray(news.sites) ? news : null
}
