import { formatBytes } from '../model/format.ts'
import type { AccountingWord, QueueWord, SiteWords } from './ask-sites.ts'
import { type Source, TRUST } from './evidence.ts'
import type { JobEvidence } from './show.ts'

/** One fact on one try of a job, for people. */
export interface EvidenceLine {
  readonly try: number
  readonly revision: number
  readonly source: Source | 'reuse'
  /** What the source says, in words. */
  readonly says: string
  /** Microseconds since 1970: when it happened by the clock of whoever says it, or when it was asked. Null: not known. */
  readonly atUs: number | null
  /** The try has its verdict of this. */
  readonly decided: boolean
}

/** All that is known of the tries of a job, the newest try first, in each the most trusted fact first. */
export function listEvidence(
  { job, attempts, live }: Pick<JobEvidence, 'job' | 'attempts' | 'live'>,
  { queue, accounting }: Pick<SiteWords, 'queue' | 'accounting'>,
  askedAtUs: number,
): EvidenceLine[] {
  const lines: EvidenceLine[] = []
  for (const { evidence, superseded, rule, ended_at, published_at, revision, try: nth } of attempts) {
    const source = evidence as EvidenceLine['source']
    const [place, decided] = [{ try: Number(nth), revision: Number(revision) }, !superseded]
    // Of a record its own time; the others say nothing but what was concluded of them, and that was when it was published.
    const atUs = timeOf(source === 'record' ? ended_at : published_at)
    lines.push({ ...place, source, says: String(rule), atUs, decided })
    if (superseded || source === 'accounting') continue
    const word = accounting.find((one) => one.try === place.try && one.revision === place.revision)
    if (word)
      lines.push({ ...place, source: 'accounting', says: accountingText(word), atUs: askedAtUs, decided: false })
  }
  if (live) {
    const place = { try: live.ended?.try ?? Number(job.tries ?? 0) + 1, revision: Number(job.revision) }
    const { ended, heardAtUs } = live
    if (ended) lines.push({ ...place, source: 'record', says: ended.rule, atUs: ended.at, decided: true })
    if (queue) lines.push({ ...place, source: 'queue', says: queueText(queue), atUs: askedAtUs, decided: false })
    if (heardAtUs !== null)
      lines.push({
        ...place,
        source: 'heartbeat',
        says: 'its task wrote to the record',
        atUs: heardAtUs,
        decided: false,
      })
  }
  return lines.sort((a, b) => b.revision - a.revision || b.try - a.try || rankOf(a) - rankOf(b))
}

const rankOf = ({ source, decided }: EvidenceLine): number =>
  (source === 'reuse' ? -1 : TRUST.indexOf(source)) + (decided ? 0 : 0.5)

const timeOf = (value: unknown): number | null => (value === null || value === undefined ? null : Number(value))

const accountingText = ({ word, exit, signal, memory_max_bytes: memory }: AccountingWord): string =>
  [
    word,
    exit === null ? '' : `exit ${exit}`,
    signal === null ? '' : `signal ${signal}`,
    memory === null ? '' : `${formatBytes(memory)} of memory`,
  ]
    .filter(Boolean)
    .join(', ')

/** `8812345_17 queued, Resources: it is next, when enough is free (will clear)`. */
function queueText({ native_id, element, state, reason, meaning, clears }: QueueWord): string {
  // As schedulers write it: PBS in the brackets of the array, the others behind it.
  const one = native_id.includes('[]') ? native_id.replace('[]', `[${element}]`) : `${native_id}_${element}`
  const name = element === null ? native_id : one
  if (state === null) return `${name} is not listed`
  if (meaning === null) return `${name} ${state}${reason === null ? '' : `, ${reason}`}`
  return `${name} ${state}, ${reason}: ${meaning} (${clears})`
}
