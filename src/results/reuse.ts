import { createHash } from 'node:crypto'
import { constants, copyFileSync, createReadStream, linkSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { JobEnded, OutputWritten } from '../model/record.ts'
import type { Row, Tables } from '../ports/tables/tables.ts'

/** A job that an earlier result may answer. Globs and folders are not answered: their names are not known before. */
export interface Question {
  readonly job: string
  readonly revision: number
  readonly jobDigest: string
  readonly try: number
  readonly outputs: readonly string[]
  readonly hasInputs: boolean
}

/** Where earlier results are looked for: this campaign, and those named in `reuse:`. */
export interface Source {
  readonly name: string
  readonly tables: Tables
  /** The campaign that asks. */
  readonly isOwn: boolean
}

export interface Answer {
  readonly question: Question
  readonly ended: JobEnded
  /** Campaign and job whose result it is. */
  readonly from: string
}

interface Held extends Row {
  readonly job_digest: string
  readonly job_id: string
  readonly output: string
  readonly url: string
  readonly size_bytes: number
  readonly digest: string | null
  readonly place: number
}

/** Results of one job, whole. */
type HeldJob = readonly Held[]

/**
 * Answers jobs from results of equal jobs and publishes the outputs under the names that the jobs gave, by link. A result whose files are
 * gone, or no longer what was published, answers nothing: another revision of its job may have written the same path since.
 *
 * Jobs without inputs that differ in the names of their outputs alone are draws of one simulation, not one piece of work: a result answers
 * the job that has its output names, and of another campaign one more at most. `used` are the answers (`from`) that were given before.
 * Costs one semi-join on job digests a source, and one reading of each file.
 */
export async function answerFromResults(
  questions: readonly Question[],
  sources: readonly Source[],
  { outputsRoot, nowUs, used }: { outputsRoot: string; nowUs: number; used: ReadonlySet<string> },
): Promise<Answer[]> {
  const open = new Map<string, Question[]>()
  for (const question of questions) {
    if (question.outputs.length === 0 || question.outputs.some((path) => /[*?[]|\/$/.test(path))) continue
    const same = open.get(question.jobDigest)
    if (same) same.push(question)
    else open.set(question.jobDigest, [question])
  }
  const answers: Answer[] = []
  for (const source of sources) {
    if (open.size === 0) break
    for (const [digest, jobs] of await heldResults(source, open, used)) {
      const left: Question[] = []
      const whole = new Map<HeldJob, boolean>()
      for (const [question, held] of match(open.get(digest)!, jobs, { source, used })) {
        const fits = held !== undefined && question.outputs.length === held.length
        if (fits && !whole.has(held)) whole.set(held, await areAsPublished(held))
        if (fits && whole.get(held)) answers.push(answer(question, held, source.name))
        else left.push(question)
      }
      if (left.length > 0) open.set(digest, left)
      else open.delete(digest)
    }
  }
  return answers

  function answer(question: Question, held: readonly Held[], campaign: string): Answer {
    const outputs = question.outputs.map((path, i): OutputWritten => {
      // Results of a job with the same output names are matched by name, others by their place in the job's list.
      const from = held.find(({ output }) => output === path) ?? held[i]!
      placeFile(from.url, join(outputsRoot, path))
      return { path, size_bytes: Number(from.size_bytes), digest: from.digest }
    })
    const from = nameOf(campaign, held)
    return {
      question,
      from,
      ended: {
        v: 1,
        at: nowUs,
        event: 'job ended',
        job: question.job,
        revision: question.revision,
        job_digest: question.jobDigest,
        try: question.try,
        slot: 0,
        started_at: nowUs,
        verdict: 'succeeded',
        class: null,
        rule: `same program, arguments and inputs as ${from}`,
        exit: null,
        signal: null,
        wall_sec: 0,
        cpu_sec: null,
        memory_max_bytes: null,
        stdout: null,
        stderr: null,
        outputs,
        checked: false,
        sandbox: null,
      },
    }
  }
}

const nameOf = (campaign: string, held: HeldJob): string => `${campaign}: ${held[0]!.job_id}`

/** Which result is to answer each of these questions of one digest. */
function match(
  questions: readonly Question[],
  jobs: readonly HeldJob[],
  { source, used }: { source: Source; used: ReadonlySet<string> },
): [Question, HeldJob | undefined][] {
  if (questions[0]!.hasInputs) return questions.map((question) => [question, jobs[0]])
  const named = new Map(jobs.map((held) => [held[0]!.output, held]))
  const byName = questions.map(({ outputs }): HeldJob | undefined => {
    const held = outputs.map((path) => named.get(path)).find(Boolean)
    return held?.every(({ output }) => outputs.includes(output)) ? held : undefined
  })
  const free = source.isOwn ? [] : jobs.filter((held) => !byName.includes(held) && !used.has(nameOf(source.name, held)))
  return questions.map((question, i) => [question, byName[i] ?? free.shift()])
}

/**
 * By job digest, the results of each job, newest first; where there are inputs only those of the newest job, else those that may be wanted.
 */
async function heldResults(
  { tables, isOwn }: Source,
  open: ReadonlyMap<string, readonly Question[]>,
  used: ReadonlySet<string>,
): Promise<Map<string, HeldJob[]>> {
  const results = await tables.view('results')
  if (results.parts.length === 0) return new Map()
  await tables.view('jobs', undefined, 'jobs_rows')
  await loadAsked(tables, open)
  const named = 'exists (from asked_outputs o where o.job_digest = r.job_digest and o.output = r.output)'
  const rows = await tables.sql.rows<Held>(
    `with same as (
       select r.*, a.has_inputs, a.questions, ${named} as is_named,
         row_number() over (partition by r.job_digest, r.output order by r.published_at desc) as newest,
         max(r.published_at) over (partition by r.job_digest, r.job_key) as job_published_at
       from results r join asked_digests a using (job_digest)
       where r.url is not null and (a.has_inputs or ${isOwn ? named : 'true'})),
     ranked as (
       select *, dense_rank() over (partition by job_digest order by job_published_at desc, job_key) as nth from same where newest = 1)
     select s.job_digest, s.job_id, s.output, s.url, s.size_bytes, s.digest,
       coalesce(list_position(list_transform(j.outputs, lambda o: o.path), s.output), 0) as place
     from ranked s left join jobs_rows j on j.job_key = s.job_key
     where s.nth = 1 or (not s.has_inputs and (s.is_named or s.nth <= s.questions + ${used.size}))
     order by s.job_digest, s.nth, place`,
  )
  const held = new Map<string, Held[][]>()
  for (const row of rows) {
    const jobs = held.get(row.job_digest) ?? []
    held.set(row.job_digest, jobs)
    const last = jobs.at(-1)
    if (last?.[0]?.job_id === row.job_id) last.push(row)
    else jobs.push([row])
  }
  return held
}

/** The questions as temporary tables: digests, and the outputs wanted of jobs without inputs. */
async function loadAsked({ sql }: Tables, open: ReadonlyMap<string, readonly Question[]>): Promise<void> {
  await sql.load(
    'asked_digests',
    [
      { name: 'job_digest', type: 'VARCHAR' },
      { name: 'has_inputs', type: 'BOOLEAN' },
      { name: 'questions', type: 'BIGINT' },
    ],
    [
      [...open].map(([job_digest, asked]) => ({
        job_digest,
        has_inputs: asked[0]!.hasInputs,
        questions: asked.length,
      })),
    ],
  )
  const draws = [...open.values()].flat().filter(({ hasInputs }) => !hasInputs)
  await sql.load(
    'asked_outputs',
    [
      { name: 'job_digest', type: 'VARCHAR' },
      { name: 'output', type: 'VARCHAR' },
    ],
    [draws.flatMap(({ jobDigest, outputs }) => outputs.map((output) => ({ job_digest: jobDigest, output })))],
  )
}

async function areAsPublished(held: readonly Held[]): Promise<boolean> {
  for (const { url, size_bytes, digest } of held) {
    try {
      if (statSync(url).size !== Number(size_bytes)) return false
      if (digest !== null && (await digestOf(url)) !== digest) return false
    } catch {
      return false
    }
  }
  return true
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}

/** The same file under another name; never half-written. A copy where a link cannot reach. */
function placeFile(from: string, to: string): void {
  if (from === to) return
  mkdirSync(dirname(to), { recursive: true })
  const aside = join(dirname(to), `.floe-${process.pid}-reuse`)
  rmSync(aside, { force: true })
  try {
    linkSync(from, aside)
  } catch {
    copyFileSync(from, aside, constants.COPYFILE_FICLONE)
  }
  renameSync(aside, to)
}
