import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { openViews } from '../catalog/catalog.ts'
import { foldRecords, readRecords } from '../events/events.ts'
import { sitePaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import type { JobEnded } from '../model/record.ts'
import { APPTAINER, probePrograms, stageArray } from '../stage/stage.ts'
import type { RunContext } from './context.ts'
import { lookAtFiles } from './planning.ts'
import { sayTrying } from './trying.ts'

export interface TryReport {
  readonly job: string
  readonly ended: JobEnded
  /** The sandbox, which stays. */
  readonly sandbox: string | null
  /** Where its outputs were put, beside the sandbox, not in the campaign. */
  readonly outputs: string
}

export interface TryOptions {
  readonly write: (stream: 'stdout' | 'stderr', text: Buffer) => void
  readonly signal?: AbortSignal
}

const LOOK_EVERY_MS = 50

/**
 * One job, here and now, by the same runner as in an array; its output goes to `write` as it comes. Nothing is published: outputs stay
 * beside the sandbox, and no table changes but `files`.
 */
export async function tryJob(context: RunContext, jobId: string, options: TryOptions): Promise<TryReport> {
  const said = sayTrying(tryFolder(context))
  try {
    const cleaner = await context.leases.holder('clean')
    if (cleaner)
      throw new FloeError(
        'RUN_LOCKED',
        `\`floe clean\` works on this campaign: process ${cleaner.pid} on ${cleaner.host}.`,
        {
          hint: 'Try again when it has ended.',
        },
      )
    return await tryUnder(context, jobId, options)
  } finally {
    said()
  }
}

/** Where jobs are tried, and where it is said that they are. */
export const tryFolder = ({ paths }: Pick<RunContext, 'paths'>): string => join(paths.scratch, 'try')

async function tryUnder(context: RunContext, jobId: string, { write, signal }: TryOptions): Promise<TryReport> {
  const { tables, paths, campaignId, settings } = context
  const { sql } = tables
  await lookAtFiles(context, { stale: 'ask', digests: false })
  await openViews(tables)
  const quoted = `'${jobId.replaceAll("'", "''")}'`
  await sql.run(
    `create or replace temp table runnable as select job_id, job_key, revision from jobs where job_id = ${quoted}`,
  )
  const [job] = await sql.rows<{
    resources: Record<string, number | null> | null
    setup: string | null
    container: string | null
    missing: boolean
  }>('select j.resources, j.setup, j.container, j.missing from jobs j semi join runnable using (job_key)')
  if (!job) throw new FloeError('NOTHING_SELECTED', `This campaign has no job ${jobId}.`)
  if (job.missing)
    throw new FloeError('INPUTS_MISSING', `An input of ${jobId} is missing.`, {
      hint: `\`floe show ${jobId}\` names it.`,
    })
  await probePrograms(tables, { site: 'this machine', roots: settings.roots, container: APPTAINER })
  const site = sitePaths(paths.scratch, campaignId)
  const directory = join(tryFolder(context), encodeURIComponent(jobId).slice(0, 200))
  rmSync(directory, { recursive: true, force: true })
  const outputs = join(directory, 'outputs')
  mkdirSync(outputs, { recursive: true, mode: 0o700 })
  await stageArray(tables, {
    arrayId: 'try',
    directory,
    cache: site.cache,
    siteCache: site.cache,
    campaign: campaignId,
    outputs,
    sandboxesMax: settings.sandboxesMax,
    rehearsal: true,
    roots: settings.roots,
    stores: context.stores,
    tasks: [
      {
        task: 0,
        batchId: 0,
        terms: {
          cpus: job.resources?.cpus ?? 1,
          memory_bytes: job.resources?.memory_bytes ?? null,
          walltime_sec: job.resources?.walltime_sec ?? null,
          gpus: 0,
          setup: job.setup,
          container: job.container,
          publish: 'files',
        },
      },
    ],
    chosen: 'select job_key, revision, 0 as position, 0 as task from runnable',
    answer: async () => new Set(),
  })
  const code = await runHere(context, directory, { write, ...(signal && { signal }) })
  const { decided } = foldRecords(readRecords(directory, {}).lines)
  const ended = decided[0]?.ended
  if (!ended)
    throw new FloeError('RECORD_BROKEN', `The runner left no verdict for ${jobId} (exit ${code}).`, {
      details: { directory },
    })
  return { job: jobId, ended, sandbox: ended.sandbox === null ? null : join(directory, ended.sandbox), outputs }
}

/** Runs the array's only task in the foreground and tells what its logs grow by. */
async function runHere(
  { runner, clock }: RunContext,
  directory: string,
  { write, signal }: TryOptions,
): Promise<number | null> {
  const [program, ...rest] = [...runner, '--array', directory, '--task', '0']
  const child = spawn(program!, rest, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, FLOE_TMPDIR: directory },
  })
  signal?.addEventListener('abort', () => child.kill('SIGTERM'), { once: true })
  let exit: number | null | undefined
  child.once('exit', (code) => {
    exit = code
  })
  const read = new Map<string, number>()
  for (;;) {
    const over = exit !== undefined
    tellGrowth(join(directory, 'logs'), read, write)
    if (over) return exit ?? null
    await clock.sleep(LOOK_EVERY_MS)
  }
}

function tellGrowth(
  folder: string,
  read: Map<string, number>,
  write: (stream: 'stdout' | 'stderr', text: Buffer) => void,
): void {
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder)) {
    const stream = /err$/.test(name) ? 'stderr' : /out$/.test(name) ? 'stdout' : undefined
    if (!stream) continue
    const fd = openSync(join(folder, name), 'r')
    const piece = Buffer.alloc(1 << 16)
    let at = read.get(name) ?? 0
    for (let got = readSync(fd, piece, 0, piece.length, at); got > 0; got = readSync(fd, piece, 0, piece.length, at)) {
      write(stream, Buffer.from(piece.subarray(0, got)))
      at += got
    }
    closeSync(fd)
    read.set(name, at)
  }
}
