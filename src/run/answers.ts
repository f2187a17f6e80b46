import type { ManifestJob } from '../model/manifest.ts'
import { type Answer, answerFromResults, type Source } from '../results/results.ts'
import type { StagedJob } from '../stage/stage.ts'
import type { RunContext } from './context.ts'

/** Earlier results may answer jobs. What would be placed where it is found is not in reach of this machine's disk. */
export const canAnswer = async ({ tables, settings }: RunContext): Promise<boolean> =>
  settings.outputsUrl === null && (settings.reuse.length > 0 || (await tables.snapshot('results')).parts.length > 0)

/**
 * Which of the staged jobs earlier results answer: of this campaign, then of those named in `reuse:`. A job that asked for a fresh run
 * (`cache: false`) and a job that was tried before (somebody asked for another try) are not answered. `waiting` are earlier answers that are
 * not in the tables yet.
 */
export async function answersFor(
  { tables, clock, paths, settings, openOther }: RunContext,
  jobs: readonly StagedJob[],
  waiting: readonly string[],
): Promise<{ answers: Answer[]; answered: ReadonlySet<ManifestJob> }> {
  const none = { answers: [], answered: new Set<ManifestJob>() }
  const asked = jobs.filter(({ row }) => row.cache !== false && Number(row.tries) === 0)
  if (asked.length === 0) return none
  const byName = new Map(asked.map(({ job }) => [`${job.revision} ${job.job}`, job]))
  const questions = asked.map(({ job }) => ({
    job: job.job,
    revision: job.revision,
    jobDigest: job.job_digest,
    try: job.try,
    outputs: job.outputs.map(({ path }) => path),
    hasInputs: job.inputs.length > 0,
  }))
  const others = await Promise.all(
    settings.reuse.map(async (root): Promise<Source> => ({ name: root, tables: await openOther(root), isOwn: false })),
  )
  try {
    const answers = await answerFromResults(questions, [{ name: 'this campaign', tables, isOwn: true }, ...others], {
      outputsRoot: paths.outputs,
      nowUs: Math.round(clock.now() * 1000),
      used: new Set(waiting.concat(others.length > 0 ? await answersBefore(tables) : [])),
    })
    return {
      answers,
      answered: new Set(answers.map(({ question }) => byName.get(`${question.revision} ${question.job}`)!)),
    }
  } finally {
    for (const other of others) await other.tables.close()
  }
}

/** What answered jobs of this campaign so far. */
async function answersBefore(tables: RunContext['tables']): Promise<string[]> {
  await tables.view('attempts')
  const rows = await tables.sql.rows<{ reused_from: string }>(
    'select distinct reused_from from attempts where reused_from is not null',
  )
  return rows.map(({ reused_from }) => reused_from)
}
