import { FloeError } from '../model/errors.ts'
import { positionsSql } from '../model/positions.ts'
import { quoteText } from '../ports/tables/tables.ts'
import type { RunContext } from './context.ts'
import { placeSql } from './data-places.ts'
import { Able, type GroupRow } from './share-runnable.ts'

/** Batches of a site: those that are cut for it, or those of one array. */
export type Waiting = { readonly cutFor: string } | { readonly arrayId: string }

/** Whether some of the `sites` could run each job of batches that wait elsewhere. Costs a join of their jobs, and a question for each program. */
export async function areMovable(
  context: RunContext,
  waiting: Waiting,
  sites: readonly RunContext[],
): Promise<boolean> {
  const { tables } = context
  await tables.view('batches')
  await tables.view('files')
  await tables.view('plan', undefined, 'plan_positions')
  await tables.view('jobs', undefined, 'jobs_rows')
  const which =
    'cutFor' in waiting
      ? `state = 'cut' and site = ${quoteText(waiting.cutFor)}`
      : `array_id = ${quoteText(waiting.arrayId)}`
  const rows = await tables.sql.rows<GroupRow>(
    `with waiting as (select p.job_key, p.revision, b.resource_class
         from ${positionsSql(`batches where ${which}`, ['resource_class'])} b join plan_positions p using (plan_id, position)),
       placed as (select job_key, list_sort(list_distinct(list(${placeSql([context, ...sites])}))) as places from (
         select w.job_key, unnest(list_concat(j.inputs, j.files)) as url from waiting w join jobs_rows j using (job_key, revision)) group by all)
     select 0 as n, w.resource_class, false as grown, j.site, coalesce(l.places, []) as places, [] as sent_to, j.executable, j.setup, j.container, f.url is not null as pinned,
       count(*)::integer as jobs, min(j.job_id) as first, null::double as seconds
     from waiting w join jobs_rows j using (job_key, revision) left join placed l using (job_key)
       left join (select distinct url from files where kind = 'program') f on f.url = j.executable
     group by all`,
  )
  const able = new Able(sites)
  try {
    for (const row of rows) if ((await able.of(row)).length === 0) return false
    return true
  } catch (error) {
    if (error instanceof FloeError) return false
    throw error
  }
}
