import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LiveArray } from './live-array.ts'

/*
 * .floe/at-work.json: what a run that is going on says of itself, for `status`. Nothing rests on it, and it may be deleted at any time. One
 * object: {"pid", "site", "tasks_running", "tasks_queued", "tasks_max", "waiting", "next_look_at"}; the time is milliseconds since 1970.
 */

export interface AtWork {
  readonly pid: number
  readonly site: string
  readonly tasks_running: number
  readonly tasks_queued: number
  /** Tasks that the site takes of this user; null: as many as there are. */
  readonly tasks_max: number | null
  /** What holds the campaign back, in words. */
  readonly waiting: string | null
  readonly next_look_at: number
}

export function countTasks(arrays: Iterable<LiveArray>): Pick<AtWork, 'tasks_running' | 'tasks_queued'> {
  const counts = { tasks_running: 0, tasks_queued: 0 }
  for (const { openTasks, unstartedTasks } of arrays) {
    counts.tasks_running += openTasks.length - unstartedTasks.length
    counts.tasks_queued += unstartedTasks.length
  }
  return counts
}

const fileIn = (cache: string): string => join(cache, 'at-work.json')

/** On a full disk nothing is said. */
export function tellAtWork(cache: string, news: AtWork): void {
  const aside = `${fileIn(cache)}.${news.pid}`
  try {
    mkdirSync(cache, { recursive: true, mode: 0o700 })
    writeFileSync(aside, `${JSON.stringify(news)}\n`, { mode: 0o600 })
    renameSync(aside, fileIn(cache))
  } catch {
    rmSync(aside, { force: true })
  }
}

/** What the run of that process said last. */
export function readAtWork(cache: string, pid: number): AtWork | null {
  try {
    const news = JSON.parse(readFileSync(fileIn(cache), 'utf8')) as AtWork
    return news.pid === pid ? news : null
  } catch {
    return null
  }
}
