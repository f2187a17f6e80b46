import type { JobReport, JsonRow } from '../../floe.ts'
import { formatBytes, formatCount, formatCounted, formatSeconds } from '../../model/format.ts'
import { padEnd, visible } from './table.ts'
import { near, shellWord } from './words.ts'

/** Inputs, outputs and requests that are listed; --json has all. */
const LISTED = 8
const LABEL = 11

export function renderShow(report: JobReport, from = process.cwd()): string {
  const { job, attempts, live } = report
  const name = text(job.job_id)
  const hasLogs = attempts.some(({ evidence }) => evidence === 'record') || live?.ended
  return [
    `${visible(name)}   ${headline(report)}\n`,
    ...facts(report).map(([label, value]) => line(label, value)),
    liveEvidence(report),
    ...attempts.map((attempt) => attemptText(attempt, { report, from })),
    ...report.silent.map(({ site, why }) => line('silent', `${site} could not be asked: ${why}`)),
    hasLogs ? line('logs', `floe logs ${name.startsWith('-') ? '-- ' : ''}${shellWord(name)}`) : '',
  ].join('')
}

const line = (label: string, value: string, indent = '  '): string =>
  `${indent}${padEnd(label, LABEL)}${visible(value)}\n`

/** `failed, class memory, after 2 tries`. */
function headline({ job, attempts, live }: JobReport): string {
  const tries = Number(job.tries ?? 0)
  return [
    live ? (live.ended?.verdict ?? live.state) : text(job.state),
    job.class ? `class ${text(job.class)}` : '',
    tries === 0 ? '' : `after ${tries === 1 ? '1 try' : `${tries} tries`}`,
    job.state === 'succeeded' && attempts[0]?.reused_from ? 'answered by an earlier result' : '',
    job.missing ? 'an input is missing' : '',
    live === null && job.state === 'pending' && tries > 0 ? 'waits to be tried again' : '',
  ]
    .filter(Boolean)
    .join(', ')
}

function facts(report: JobReport): [string, string][] {
  const { job, inputs, requests, batch, live } = report
  const files = new Map(inputs.map((file) => [text(file.url), file]))
  const named = (key: 'inputs' | 'files') =>
    list((job[key] ?? []) as string[], (url) => fileText(url, files.get(url)), ', ')
  const made = list(published(report), resultText, ', ')
  const wanted = list((job.outputs ?? []) as unknown as JsonRow[], ({ path }) => text(path), ', ')
  const told: [string, string][] = [
    ['inputs', named('inputs')],
    ['files', named('files')],
    ['program', programText(text(job.executable), files.get(text(job.executable)))],
    ['container', job.container == null ? '' : fileText(text(job.container), files.get(text(job.container)))],
    ['outputs', made || wanted],
    ['asked', list(requests, requestText, '; ')],
    ['batch', batch === null ? '' : batchText(batch)],
    ['from', text(job.source)],
    ['now', liveText(live)],
  ]
  return told.filter(([, value]) => value !== '')
}

/** Rows of results of what the job is now: of its present revision, by its newest success. */
function published({ job, attempts, results }: JobReport): readonly JsonRow[] {
  const newest = attempts.find(
    ({ verdict, superseded, revision }) => verdict === 'succeeded' && !superseded && revision === job.revision,
  )
  return newest === undefined
    ? []
    : results.filter(({ job_digest, revision }) => job_digest === newest.job_digest && revision === job.revision)
}

function fileText(url: string, file: JsonRow | undefined): string {
  // A person who writes a pattern does not see what is missing; a name may well hold these signs.
  if (file?.missing)
    return `${url} (missing${/[*?]/.test(url) ? '; an input is a file or folder, never a pattern' : ''})`
  return file?.size_bytes == null ? url : `${url} (${formatBytes(Number(file.size_bytes))})`
}

function programText(executable: string, file: JsonRow | undefined): string {
  if (!file) return `${executable}, as the site has it`
  if (file.missing) return `${executable} (missing)`
  return file.digest == null ? executable : `${executable}  ${shortDigest(text(file.digest))}`
}

const shortDigest = (digest: string): string => digest.replace(/^(sha256:)?([0-9a-f]{12})[0-9a-f]+$/, '$1$2…')

const resultText = ({ output, size_bytes, pack }: JsonRow): string =>
  `${text(output)}${size_bytes == null ? '' : ` (${formatBytes(Number(size_bytes))})`}${pack ? ` in ${text(pack)}` : ''}`

const requestText = ({ action, who, asked_at, why }: JsonRow): string =>
  `${text(action)} by ${text(who)}, ${local(asked_at)}${why ? ` (${text(why)})` : ''}`

function batchText({ batch_id, jobs, site, array_id, task, state }: JsonRow): string {
  const place = array_id ? `, task ${text(task)} of array ${text(array_id)}` : ''
  return `${text(batch_id)}, ${formatCounted(Number(jobs), 'job')} on ${text(site)}, ${text(state)}${place}`
}

function liveText(live: JobReport['live']): string {
  if (live === null) return ''
  const place = [live.site === 'local' ? '' : ` at ${live.site}`, live.node === null ? '' : ` on ${live.node}`].join('')
  const where = `task ${live.task} of array ${live.array}${live.site === 'local' ? '' : place}`
  if (live.ended === null) return `${live.state} in ${where}`
  return `${live.ended.verdict} in ${where}, not in the tables yet: ${live.ended.rule}`
}

/** As schedulers write it: PBS in the brackets of the array, the others behind it. */
const nativeTask = (id: string, task: unknown): string =>
  id.includes('[]') ? id.replace('[]', `[${text(task)}]`) : `${id}_${text(task)}`

type Line = JobReport['evidence'][number]

/** What is known of a try, the most trusted first, with its time where the head of the try does not say it. */
const evidenceTexts = (lines: readonly Line[], verdict: string): [string, string][] =>
  lines.map(({ source, says, at, decided }) => {
    const when = at === null || source === 'record' || source === 'reuse' ? '' : `  (${local(at)})`
    return [source, `${says}${decided ? `  ← decided: ${verdict}` : ''}${when}`]
  })

/** What is known of a try that no table has yet. */
function liveEvidence({ live, attempts, evidence }: JobReport): string {
  if (live === null) return ''
  const known = new Set(attempts.map(({ revision, try: nth }) => `${text(revision)} ${text(nth)}`))
  const lines = evidence.filter(({ revision, try: nth }) => !known.has(`${revision} ${nth}`))
  const verdict = live.ended === null ? '' : verdictText({ ...live.ended } as unknown as JsonRow)
  const told = evidenceTexts(lines, verdict)
  return told.map(([label, value]) => line(label, value, '    ')).join('')
}

/** Tables keep verdicts that came after another one of the same try: each is shown with its own. */
function isOf(fact: Line, attempt: JsonRow): boolean {
  if (fact.try !== attempt.try || fact.revision !== attempt.revision) return false
  if (attempt.superseded) return !fact.decided && fact.says === attempt.rule
  return fact.decided || fact.source === 'accounting'
}

const verdictText = (attempt: JsonRow): string =>
  `${text(attempt.verdict)}${attempt.class ? `, class ${text(attempt.class)}` : ''}`

type Made = { readonly path: string; readonly size_bytes: number | null; readonly published: boolean }
const madeBy = ({ outputs }: JsonRow): readonly Made[] => (outputs ?? []) as unknown as readonly Made[]

/** What a try made. Nothing when one try made all that is published, as its job's outputs say so already. */
function madeText(attempt: JsonRow, { job, attempts }: JobReport): string {
  const made = madeBy(attempt)
  const tries = attempts.filter((one) => madeBy(one).length > 0)
  if (tries.length < 2 && made.every(({ published }) => published)) return ''
  const isOld = attempt.superseded || attempt.revision !== job.revision
  const parts = [true, false].map((isPublished) => {
    const some = made.filter((output) => (output.published && !isOld) === isPublished)
    const said = isPublished ? '  ← published' : isOld ? ', not published' : ', replaced since'
    return some.length === 0 ? '' : `${list(some, outputText, ', ')}${said}`
  })
  return parts.filter(Boolean).join('; ')
}

const outputText = ({ path, size_bytes }: Made): string =>
  `${path}${size_bytes === null ? '' : ` (${formatBytes(size_bytes)})`}`

function attemptText(attempt: JsonRow, { report, from }: { report: JobReport; from: string }): string {
  const task = attempt.native_id ? nativeTask(text(attempt.native_id), attempt.task) : ''
  const place = [
    text(attempt.site),
    attempt.site === 'local' ? '' : task,
    attempt.node ? `on ${text(attempt.node)}` : '',
  ]
  const time = timeText(attempt)
  const late = attempt.superseded ? 'superseded: an earlier verdict stands' : ''
  const took = [
    attempt.wall_sec == null ? '' : formatSeconds(Number(attempt.wall_sec)),
    attempt.cpu_sec == null ? '' : `${formatSeconds(Number(attempt.cpu_sec))} of CPU`,
    attempt.memory_max_bytes == null ? '' : `${formatBytes(Number(attempt.memory_max_bytes))} of memory`,
  ]
  const next = attempt.next && attempt.next !== 'done' ? `; then ${text(attempt.next)}` : ''
  const told: [string, string][] = [
    ...evidenceTexts(
      report.evidence.filter((fact) => isOf(fact, attempt)),
      `${verdictText(attempt)}${next}`,
    ),
    ['took', took.filter(Boolean).join(', ')],
    ['read', readText(attempt)],
    ['outputs', madeText(attempt, report)],
    ['from', text(attempt.reused_from)],
    ['sandbox', sandboxText(attempt, from)],
  ]
  const older = attempt.revision === report.job.revision ? '' : `of revision ${text(attempt.revision)}`
  const head = [place.filter(Boolean).join(' '), time, older, late].filter(Boolean).join('   ')
  return [
    line(`try ${text(attempt.try)}`, head),
    ...told.filter(([, value]) => value !== '').map(([label, value]) => line(label, value, '    ')),
  ].join('')
}

function readText({ bytes_local: local, bytes_rack: rack, bytes_remote: remote }: JsonRow): string {
  if (local == null) return ''
  const size = (bytes: unknown): string => (Number(bytes) === 0 ? '0' : formatBytes(Number(bytes)))
  return `${size(local)} on this node, ${size(rack)} in its rack, ${size(remote)} elsewhere`
}

/** By the clock of this machine. */
function timeText({ started_at, ended_at, clock_off_sec, site }: JsonRow): string {
  if (started_at == null) return ''
  const off = Number(clock_off_sec ?? 0)
  const span = `${local(started_at, off)}–${local(ended_at, off).slice(-8)}`
  if (off === 0) return span
  return `${span} (corrected: the clock of ${text(site)} is ≈ ${formatSeconds(Math.abs(off))} ${off < 0 ? 'behind' : 'ahead'})`
}

function sandboxText({ sandbox, site }: JsonRow, from: string): string {
  if (!sandbox) return ''
  return site === 'local' ? near(text(sandbox), from) : `${text(site)}:${text(sandbox)}`
}

function list<T>(values: readonly T[], say: (value: T) => string, between: string): string {
  const more = values.length > LISTED ? [`and ${formatCount(values.length - LISTED)} more`] : []
  return [...values.slice(0, LISTED).map(say), ...more].join(between)
}

const text = (value: unknown): string => (value == null ? '' : String(value))

/** ISO time in UTC, by a clock that is so many seconds ahead, as a clock of this machine. */
function local(iso: unknown, offSec = 0): string {
  const date = new Date(Date.parse(text(iso)) - offSec * 1000)
  if (Number.isNaN(date.getTime())) return text(iso)
  return `${date.toLocaleDateString('sv-SE')} ${date.toLocaleTimeString('sv-SE')}`
}
