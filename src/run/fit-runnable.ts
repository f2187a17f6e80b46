import { FloeError } from '../model/errors.ts'
import type { ResourceClass } from '../stage/stage.ts'
import type { RunContext } from './context.ts'

/**
 * Compares what the jobs of the temporary table `runnable` ask for with what the site gives a task. Throws SUBMIT_REFUSED, with nothing
 * planned, when a job could never start; a next try that only grew too large asks for what there is.
 */
export async function fitRunnable({ tables, site }: Pick<RunContext, 'tables' | 'site'>): Promise<void> {
  const classes = await tables.sql.rows<{ resource_class: string; grown: boolean; job_id: string; jobs: number }>(
    `select resource_class, grown, min(job_id) as job_id, count(*)::integer as jobs from runnable
     group by resource_class, grown order by job_id`,
  )
  for (const { resource_class: terms, grown, job_id, jobs } of classes) {
    const asked = JSON.parse(terms) as ResourceClass
    const why = await site.misfit(asked)
    if (why === undefined) continue
    if (!grown) throw misfitError(site.name, { first: job_id, jobs }, why)
    await tables.sql.run('update runnable set resource_class = $1 where resource_class = $2 and grown', [
      JSON.stringify(await site.clamped(asked)),
      terms,
    ])
  }
}

/** Why jobs, of which the first by name is given, can never start at a site. */
export const misfitError = (
  site: string,
  { first, jobs }: { readonly first: string; readonly jobs: number },
  why: string,
): FloeError => {
  const more = jobs === 1 ? 'asks' : `and ${(jobs - 1).toLocaleString('en')} more like it ask`
  return new FloeError('SUBMIT_REFUSED', `Job ${first} ${more} ${site} for ${why}.`, {
    hint: `Ask for less in \`resources:\` of the job and add it again, or set another \`queue:\` of ${site} in sites.yaml.`,
    details: { job: first, site },
  })
}
