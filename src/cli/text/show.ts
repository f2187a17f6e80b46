import type { JobReport, JsonRow } from '../../floe.ts'
import type { JobEnded } from '../../model/record.ts'
import { formatBytes, formatCount, formatSeconds } from './format.ts'
import { renderTable, visible } from './table.ts'
import { shellWord } from './words.ts'

/** Inputs, outputs and requests that are listed; --json has all. */
const LISTED = 8
const WIDE = { title: '', max: 2000 }

export function renderShow(report: JobReport): string {
  const { job, attempts, live } = report
  const name = visible(text(job.job_id))
  return [
    `${name}   ${headline(report)}\n`,
    renderTable([{ title: '' }, WIDE], facts(report), { titles: false, indent: '  ' }),
    live === null ? '' : liveText(live),
    ...attempts.map((attempt) => attemptText(attempt)),
    attempts.some(({ evidence }) => evidence === 'record') || live?.ended
      ? `  logs      floe logs ${jobWord(text(job.job_id))}\n`
      : '',
  ].join('')
}

/** `failed, class memory, after 2 tries`. */
function headline({ job, attempts, live }: JobReport): string {
  const state = live && live.state !== 'ended' ? live.state : text(job.state)
  const failure = job.class ? `, class ${text(job.class)}` : ''
  const tries = Number(job.tries ?? 0)
  const after = tries === 0 ? '' : `, after ${tries === 1 ? '1 try' : `${tries} tries`}`
  const reused = attempts[0]?.reused_from ? `, answered by ${visible(text(attempts[0].reused_from))}` : ''
  const waits = job.state === 'pending' && tries > 0 ? '; waits to be tried again' : ''
  return `${state}${failure}${after}${reused}${job.missing ? ', an input is missing' : ''}${waits}`
}

function facts(report: JobReport): string[][] {
  const { job, inputs, results, requests, batch } = report
  const files = new Map(inputs.map((file) => [text(file.url), file]))
  const named = (key: 'inputs' | 'files') => list((job[key] ?? []) as string[], (url) => fileText(url, files.get(url)))
  return [
    ['inputs', named('inputs')],
    ['files', named('files')],
    ['program', programText(text(job.executable), files.get(text(job.executable)))],
    [
      'outputs',
      results.length > 0
        ? list(results, resultText)
        : list((job.outputs ?? []) as unknown as JsonRow[], ({ path }) => text(path)),
    ],
    ['asked', list(requests, requestText)],
    ['batch', batch === null ? '' : batchText(batch)],
    ['from', text(job.source)],
  ].filter(([, value]) => value !== '') as string[][]
}

function fileText(url: string, file: JsonRow | undefined): string {
  if (file?.missing) return `${url} (missing)`
  return file?.size_bytes == null ? url : `${url} (${formatBytes(Number(file.size_bytes))})`
}

function programText(executable: string, file: JsonRow | undefined): string {
  if (!file) return `${executable}, as the site has it`
  if (file.missing) return `${executable} (missing)`
  return file.digest == null ? executable : `${executable}  ${shortDigest(text(file.digest))}`
}

const resultText = (row: JsonRow): string =>
  `${text(row.output)}${row.size_bytes == null ? '' : ` (${formatBytes(Number(row.size_bytes))})`}${row.pack ? ` in ${text(row.pack)}` : ''}`

const requestText = ({ action, who, asked_at, why }: JsonRow): string =>
  `${text(action)} by ${text(who)}, ${local(asked_at)}${why ? ` (${text(why)})` : ''}`

const batchText = ({ batch_id, jobs, site, array_id, task, state }: JsonRow): string =>
  `${text(batch_id)} of ${formatCount(Number(jobs))} jobs on ${text(site)}, ${text(state)}${array_id ? `, task ${text(task)} of array ${text(array_id)}` : ''}`

function liveText({ state, array, task, ended }: NonNullable<JobReport['live']>): string {
  const where = `task ${task} of array ${array}`
  return ended === null
    ? `  now       ${state} in ${where}\n`
    : `  now       ${ended.verdict} in ${where}, not in the tables yet: ${visible(ruleOf(ended))}\n`
}

const ruleOf = ({ rule, wall_sec }: JobEnded): string => `${rule}, after ${formatSeconds(wall_sec)}`

function attemptText(attempt: JsonRow): string {
  const place = [attempt.site, attempt.native_id, attempt.node && `on ${text(attempt.node)}`].filter(Boolean).map(text)
  const time = attempt.started_at == null ? '' : `   ${local(attempt.started_at)}–${local(attempt.ended_at).slice(-8)}`
  const late = attempt.superseded ? '   superseded: an earlier verdict stands' : ''
  const took = [
    attempt.wall_sec == null ? '' : formatSeconds(Number(attempt.wall_sec)),
    attempt.cpu_sec == null ? '' : `${formatSeconds(Number(attempt.cpu_sec))} of CPU`,
    attempt.memory_max_bytes == null ? '' : `${formatBytes(Number(attempt.memory_max_bytes))} of memory`,
  ].filter(Boolean)
  const verdict = `${text(attempt.verdict)}${attempt.class ? `: ${text(attempt.class)}` : ''}`
  const next = attempt.next && attempt.next !== 'done' ? `; then ${text(attempt.next)}` : ''
  const rows = [
    [text(attempt.evidence), `${text(attempt.rule)}  ← decided ${verdict}${next}`],
    ...(took.length > 0 ? [['took', took.join(', ')]] : []),
    ...(attempt.reused_from ? [['from', text(attempt.reused_from)]] : []),
    ...(attempt.sandbox ? [['sandbox', text(attempt.sandbox)]] : []),
  ]
  return (
    `  try ${text(attempt.try)}     ${visible(place.join(' '))}${time}${late}\n` +
    renderTable([{ title: '' }, WIDE], rows, { titles: false, indent: '    ' })
  )
}

function list<T>(values: readonly T[], say: (value: T) => string): string {
  const more = values.length > LISTED ? [`and ${formatCount(values.length - LISTED)} more`] : []
  return [...values.slice(0, LISTED).map(say), ...more].join(', ')
}

const text = (value: unknown): string => (value == null ? '' : String(value))
const shortDigest = (digest: string): string => digest.replace(/^(sha256:)?([0-9a-f]{12})[0-9a-f]+$/, '$1$2…')

/** ISO time in UTC as a clock of this machine. */
function local(iso: unknown): string {
  const date = new Date(text(iso))
  if (Number.isNaN(date.getTime())) return text(iso)
  return `${date.toLocaleDateString('sv-SE')} ${date.toLocaleTimeString('sv-SE')}`
}

const jobWord = (name: string): string => `${name.startsWith('-') ? '-- ' : ''}${shellWord(name)}`
