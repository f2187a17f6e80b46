import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { sitePaths } from '../model/campaign.ts'
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

const PIECE_BYTES = 1 << 16
const LOOK_EVERY_MS = 300

/**
 * What a job wrote, in pieces: of an ended try from its ranges in logs/, of a running one from its slot's file as it grows. Throws
 * NOTHING_SELECTED when there is no such try, or its logs were cleaned away.
 */
export async function* jobLogs(context: RunContext, jobId: string, wishes: LogWishes): AsyncGenerator<LogPiece> {
  /** How far the files of a running job were read: the end that was told already is not told again. */
  const grown: { stdout?: number; stderr?: number } = {}
  const { arrays } = sitePaths(context.paths.scratch, context.campaignId)
  for (;;) {
    const evidence = await showJob(context, jobId)
    const ranges = rangesOf(evidence, wishes.try)
    if (ranges !== undefined) {
      for (const stream of ['stdout', 'stderr'] as const) {
        const range = ranges[stream]
        if (range === null || (wishes.stream !== undefined && wishes.stream !== stream)) continue
        const told = Math.max(0, (grown[stream] ?? 0) - range.offset)
        const rest = { offset: range.offset + told, bytes: range.bytes - told }
        for (const text of readRange(join(arrays, ranges.array, 'logs', range.file), rest)) yield { stream, text }
      }
      return
    }
    const started = evidence.live?.started
    if (started && wishes.try === undefined) {
      for (const stream of ['stdout', 'stderr'] as const) {
        if (wishes.stream !== undefined && wishes.stream !== stream) continue
        const path = join(arrays, evidence.live!.array, 'logs', started[stream].file)
        const at = grown[stream] ?? started[stream].offset
        for (const text of readRange(path, { offset: at, bytes: Number.POSITIVE_INFINITY })) {
          grown[stream] = (grown[stream] ?? at) + text.length
          yield { stream, text }
        }
      }
      if (!wishes.follow) return
    } else if (!wishes.follow) {
      const state = evidence.live?.state ?? String(evidence.job.state)
      throw new FloeError('NOTHING_SELECTED', `Job ${jobId} is ${state} and has no log yet.`, {
        hint:
          state === 'running' || state === 'queued' ? `\`floe logs ${jobId} -f\` waits for it.` : '`floe run` runs it.',
      })
    }
    await context.clock.sleep(LOOK_EVERY_MS, wishes.signal)
    if (wishes.signal?.aborted) return
  }
}

function rangesOf(
  { attempts, live }: JobEvidence,
  nth: number | undefined,
): { array: string; stdout: LogRange | null; stderr: LogRange | null } | undefined {
  if (live?.ended && (nth === undefined || nth === live.ended.try)) {
    return { array: live.array, stdout: live.ended.stdout, stderr: live.ended.stderr }
  }
  if (nth === undefined && live !== null) return undefined
  const attempt = attempts.find(
    (row) => row.array_id !== null && !row.superseded && (nth === undefined || row.try === nth),
  )
  if (!attempt) return undefined
  return {
    array: attempt.array_id as string,
    stdout: (attempt.log_stdout ?? null) as LogRange | null,
    stderr: (attempt.log_stderr ?? null) as LogRange | null,
  }
}

function* readRange(path: string, { offset, bytes }: Pick<LogRange, 'offset' | 'bytes'>): Generator<Buffer> {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (cause) {
    // A running job that wrote nothing has no file yet.
    if (bytes === Number.POSITIVE_INFINITY) return
    throw new FloeError('NOTHING_SELECTED', `The log ${path} is not there any more.`, {
      hint: 'Logs of ended arrays go with `floe clean`.',
      cause,
    })
  }
  try {
    for (let at = 0; at < bytes; ) {
      const piece = Buffer.alloc(Math.min(PIECE_BYTES, bytes - at))
      const read = readSync(fd, piece, 0, piece.length, Number(offset) + at)
      if (read === 0) return
      yield piece.subarray(0, read)
      at += read
    }
  } finally {
    closeSync(fd)
  }
}
