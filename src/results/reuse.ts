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
}

/** Where earlier results are looked for: this campaign, and those named in `reuse:`. */
export interface Source {
  readonly name: string
  readonly tables: Tables
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

/**
 * Answers jobs from results of equal jobs and publishes the outputs under the names that the jobs gave, by link. A result whose files are
 * gone, or no longer what was published, answers nothing: another revision of its job may have written the same path since. Costs one
 * semi-join on job digests a source, and one reading of each file.
 */
export async function answerFromResults(
  questions: readonly Question[],
  sources: readonly Source[],
  { outputsRoot, nowUs }: { outputsRoot: string; nowUs: number },
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
    for (const [digest, held] of await heldResults(source.tables, [...open.keys()])) {
      const asked = open.get(digest)!
      if (asked[0]!.outputs.length !== held.length || !(await areAsPublished(held))) continue
      open.delete(digest)
      for (const question of asked) answers.push(answer(question, held, source.name))
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
    const from = `${campaign}: ${held[0]!.job_id}`
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

async function heldResults(tables: Tables, digests: readonly string[]): Promise<Map<string, Held[]>> {
  const held = new Map<string, Held[]>()
  const results = await tables.view('results')
  if (results.parts.length === 0) return held
  await tables.view('jobs', undefined, 'jobs_rows')
  const { sql } = tables
  await sql.run('drop table if exists asked_digests')
  await sql.load(
    'asked_digests',
    [{ name: 'job_digest', type: 'VARCHAR' }],
    [digests.map((job_digest) => ({ job_digest }))],
  )
  const rows = await sql.rows<Held>(
    `with same as (
       select r.*, row_number() over (partition by r.job_digest, r.output order by r.published_at desc) as newest,
         first_value(r.job_key) over (partition by r.job_digest order by r.published_at desc, r.job_key) as chosen
       from results r semi join asked_digests using (job_digest) where r.url is not null)
     select s.job_digest, s.job_id, s.output, s.url, s.size_bytes, s.digest,
       coalesce(list_position(list_transform(j.outputs, lambda o: o.path), s.output), 0) as place
     from same s left join jobs_rows j on j.job_key = s.job_key
     where s.newest = 1 and s.job_key = s.chosen order by s.job_digest, place`,
  )
  for (const row of rows) {
    const same = held.get(row.job_digest)
    if (same) same.push(row)
    else held.set(row.job_digest, [row])
  }
  return held
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
