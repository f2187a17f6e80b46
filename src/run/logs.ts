import type { Site } from '../dispatch/dispatch.ts'
import { FloeError } from '../model/errors.ts'
import type { LogRange } from '../model/record.ts'
import type { RunContext } from './context.ts'
import { type JobEvidence, showJob } from './show.ts'

export interface LogWishes {
  readonly stream?: 'stdout' | 'stderr'
  /** The how-manieth try; absent: the newest. */
  readonly try?: number
  readonly follow?: boolean
  readonly signal?: AbortSignal
}

export interface LogPiece {
  readonly stream: 'stdout' | 'stderr'
  readonly text: Buffer
}

/** Where the streams of one try lie. */
interface Ranges {
  readonly site: string
  readonly array: string
  readonly stdout: LogRange | null
  readonly stderr: LogRange | null
}

const PIECE_BYTES = 1 << 20
const LOOK_EVERY_MS = 300
const STREAMS = ['stdout', 'stderr'] as const

/**
 * What a job wrote, in pieces, from the site where it ran: of an ended try from its ranges in logs/, of a running one from its slot's file
 * as it grows. Throws NOTHING_SELECTED when there is no such try, or its logs were cleaned away, and SITE_UNREACHABLE.
 */
export async function* jobLogs(context: RunContext, jobId: string, wishes: LogWishes): AsyncGenerator<LogPiece> {
  /** How far the files of a running job were read: the end that was told already is not told again. */
  const grown: { stdout?: number; stderr?: number } = {}
  const streams = STREAMS.filter((stream) => wishes.stream === undefined || wishes.stream === stream)
  for (;;) {
    const evidence = await showJob(context, jobId)
    const ranges = rangesOf(evidence, wishes.try)
    if (ranges !== undefined) {
      const site = await context.openSite(ranges.site)
      for (const stream of streams) {
        const range = ranges[stream]
        if (range === null) continue
        const told = Math.max(0, (grown[stream] ?? 0) - range.offset)
        const rest = { ...range, offset: range.offset + told, bytes: range.bytes - told }
        for await (const text of readRange(site, ranges.array, rest)) yield { stream, text }
      }
      return
    }
    const { live } = evidence
    const site = live ? await context.openSite(live.site) : undefined
    if (live?.started && site && wishes.try === undefined) {
      for (const stream of streams) {
        const { file, offset } = live.started[stream]
        for await (const text of readGrown(site, live.array, { file, offset: grown[stream] ?? offset })) {
          grown[stream] = (grown[stream] ?? offset) + text.length
          yield { stream, text }
        }
      }
      if (!wishes.follow) return
    } else if (!wishes.follow) throw noLog(jobId, live?.state ?? String(evidence.job.state))
    await context.clock.sleep(Math.max(LOOK_EVERY_MS, site?.rhythm.pullMs ?? 0), wishes.signal)
    if (wishes.signal?.aborted) return
  }
}

function noLog(jobId: string, state: string): FloeError {
  const isUnderWay = state === 'running' || state === 'queued'
  return new FloeError('NOTHING_SELECTED', `Job ${jobId} is ${state} and has no log yet.`, {
    hint: isUnderWay ? `\`floe logs ${jobId} -f\` waits for it.` : '`floe run` runs it.',
  })
}

function rangesOf({ attempts, live }: JobEvidence, nth: number | undefined): Ranges | undefined {
  if (live?.ended && (nth === undefined || nth === live.ended.try)) {
    return { site: live.site, array: live.array, stdout: live.ended.stdout, stderr: live.ended.stderr }
  }
  if (nth === undefined && live !== null) return undefined
  const attempt = attempts.find(
    (row) => row.array_id !== null && !row.superseded && (nth === undefined || row.try === nth),
  )
  if (!attempt) return undefined
  return {
    site: attempt.site as string,
    array: attempt.array_id as string,
    stdout: (attempt.log_stdout ?? null) as LogRange | null,
    stderr: (attempt.log_stderr ?? null) as LogRange | null,
  }
}

async function* readRange(site: Site, array: string, range: Omit<LogRange, 'total'>): AsyncGenerator<Buffer> {
  const file = `logs/${range.file}`
  for (let at = 0; at < range.bytes; ) {
    const asked = { offset: Number(range.offset) + at, bytes: Math.min(PIECE_BYTES, range.bytes - at) }
    const piece = await site.readPart(array, file, asked)
    if (piece === undefined) {
      throw new FloeError(
        'NOTHING_SELECTED',
        `The log ${site.paths.arrays}/${array}/${file} of ${site.name} is not there any more.`,
        { hint: 'Logs of ended arrays go with `floe clean`, or with the scratch of the site.' },
      )
    }
    if (piece.length === 0) return
    yield piece
    at += piece.length
  }
}

/** Up to its end now. A running job that wrote nothing has no file yet. */
async function* readGrown(
  site: Site,
  array: string,
  { file, offset }: { file: string; offset: number },
): AsyncGenerator<Buffer> {
  for (let at = offset; ; ) {
    const piece = await site.readPart(array, `logs/${file}`, { offset: at, bytes: PIECE_BYTES })
    if (piece === undefined || piece.length === 0) return
    yield piece
    at += piece.length
  }
}
