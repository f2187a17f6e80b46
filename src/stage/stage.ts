import { mkdirSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import type { ManifestJob, ManifestTask, NamedJob } from '../model/manifest.ts'
import type { NodePlace } from '../model/places.ts'
import type { Row, Tables } from '../ports/tables/tables.ts'
import { fetchRemote } from './fetch-remote.ts'
import { hashContent } from './look-up.ts'
import { manifestJob, type StagedFile, type StagedProgram, type StagedRow } from './manifest-rows.ts'
import { type Concerned, nameJobs } from './name-jobs.ts'
import { type NodesOf, placesText } from './places.ts'
import {
  APPTAINER,
  checkPinned,
  type ProbeProgram,
  probeContainer,
  probeHere,
  probeSiteProgram,
  stageProgram,
} from './program.ts'
import type { RemoteStores } from './remote.ts'
import { isHdfs, isRemote, sitePath } from './site-path.ts'
import { type Choice, namedJobs, wantedSql } from './wanted.ts'
import { writeManifest, writeWhole } from './write-manifest.ts'

export { locateInputs } from './locate.ts'
export { APPTAINER } from './program.ts'
export { bindsLate, readManifest } from './read-manifest.ts'
export type { RemoteFile, RemoteStores } from './remote.ts'
export { commitSighting, type DigestPolicy, type Sighting, sightFiles } from './sighting.ts'
export { isAtSql } from './site-path.ts'

/** An array to stage: its tasks, its jobs, and where it goes. */
export interface StageOptions extends Choice {
  readonly arrayId: string
  readonly tasks: readonly StagedTask[]
  readonly directory: string
  readonly cache: string
  /** The same directory as the site names it: what vanishes from there was purged. */
  readonly siteCache?: string
  readonly campaign: string
  readonly outputs: string
  readonly sandboxesMax: number
  /** What runs images at the site, of jobs that name one. */
  readonly container?: string | null
  /**
   * A rehearsal: sandboxes of jobs that succeed are kept too, files are taken as they lie there now, whatever table `files` knows of
   * them, and what people asked for is not looked at.
   */
  readonly rehearsal?: true
  readonly roots: Readonly<Record<string, string>>
  readonly stores: RemoteStores
  /** Where hosts of HDFS are for the nodes; absent: as for this machine. */
  readonly hdfsHosts?: Readonly<Record<string, string>>
  /** SQL condition on `url`: what lies in an HDFS whose data nodes run the tasks, which are told where it is; absent: there is none. */
  readonly at?: string | undefined
  /** Where a file of this machine lies on the site; absent: where it lies here. */
  readonly place?: (file: StagedFile) => string
  /** Leaves jobs out of the manifest: those that an earlier result answers. Absent: none can. */
  readonly answer?: (jobs: readonly StagedJob[]) => Promise<ReadonlySet<ManifestJob>>
  /** Takes the tasks in place of a directory, where nothing is run; without `answer` only the names of jobs are looked up. */
  readonly hold?: (tasks: readonly { readonly header: ManifestTask; readonly jobs: readonly NamedJob[] }[]) => void
}

export interface StagedTask {
  readonly task: number
  readonly batchId: number
  readonly terms: ResourceClass
}

export interface StagedJob {
  readonly row: StagedRow
  readonly job: ManifestJob
  readonly task: number
}

/** What the jobs of a batch have in common; the JSON in `batches.resource_class`. */
export interface ResourceClass {
  readonly cpus: number
  readonly memory_bytes: number | null
  readonly walltime_sec: number | null
  readonly gpus: number
  readonly setup: string | null
  readonly container: string | null
  readonly publish: 'files' | 'pack' | 'table'
  /** Most jobs of a batch, after a failure that is met with smaller ones. */
  readonly jobs_max?: number
  /** Walltime of a task, by what jobs that name none have taken. */
  readonly task_sec?: number
  /** The node that the jobs failed on, which they are to be kept from. */
  readonly avoid?: string
}

/**
 * Writes an array's directory: manifest and index, each whole or absent. The directory is the array: staging it again gives the same
 * files. Holds the jobs of one array in memory, so the caller bounds them.
 */
export async function stageArray(
  tables: Tables,
  options: StageOptions,
): Promise<{ tasks: number; jobs: number; answered: number }> {
  for (const table of ['attempts', 'requests', 'files'] as const) await tables.view(table)
  await tables.view('jobs', undefined, 'jobs_rows')
  const { hold, answer } = options
  if (hold && !answer) return holdNames(tables, options, hold)
  const { staged, imageAt, nodesOf } = await stagedJobs(tables, options)
  const answered = (await answer?.(staged)) ?? new Set()
  const lines = new Map<number, ManifestJob[]>()
  for (const { task, job } of staged) {
    if (answered.has(job)) continue
    const group = lines.get(task)
    if (group) group.push(job)
    else lines.set(task, [job])
  }
  const places = placesText(
    options.tasks.map(({ task }) => task),
    lines,
    nodesOf,
  )
  const headers = options.tasks.map((one) => {
    const { container } = one.terms
    const image = container === null ? undefined : imageAt(container)
    return headerOf(options, one, { jobs: lines.get(one.task)?.length ?? 0, image, bindsLate: places !== undefined })
  })
  const counts = { tasks: headers.length, jobs: staged.length - answered.size, answered: answered.size }
  if (hold) {
    hold(headers.map((header) => ({ header, jobs: lines.get(header.task) ?? [] })))
    return counts
  }
  await writeEntrances(options, lines.values())
  writeManifest(options.directory, { headers, lines, places })
  return counts
}

async function holdNames(
  tables: Tables,
  options: StageOptions,
  hold: NonNullable<StageOptions['hold']>,
): ReturnType<typeof stageArray> {
  const named = await namedJobs(tables, options)
  const held = options.tasks.map((one) => {
    const jobs = named.get(one.task) ?? []
    return { header: headerOf(options, one, { jobs: jobs.length, image: undefined, bindsLate: false }), jobs }
  })
  hold(held)
  return { tasks: held.length, jobs: held.reduce((sum, { jobs }) => sum + jobs.length, 0), answered: 0 }
}

function headerOf(
  options: StageOptions,
  { task, batchId, terms }: StagedTask,
  { jobs, image, bindsLate }: { jobs: number; image: string | undefined; bindsLate: boolean },
): ManifestTask {
  const { cpus, memory_bytes, walltime_sec, gpus, setup, publish } = terms
  const roots = Object.values(options.roots)
  return {
    v: 1,
    campaign: options.campaign,
    array: options.arrayId,
    task,
    batch: batchId,
    jobs,
    cpus,
    ...(gpus > 0 && { gpus }),
    memory_bytes,
    walltime_sec,
    setup,
    ...(image !== undefined && { container: { program: options.container ?? APPTAINER, image } }),
    publish,
    outputs: options.outputs,
    ...(options.siteCache !== undefined && { cache: options.siteCache }),
    ...(roots.length > 0 && { roots }),
    ...(bindsLate && { binds_late: true as const }),
    sandboxes_max: options.sandboxesMax,
    ...(options.rehearsal && { sandboxes_all: true as const }),
  }
}

/** Where programs will run. */
export interface ProbedSite {
  readonly site: string
  readonly roots: Readonly<Record<string, string>>
  /** What runs images there; null: nothing. */
  readonly container: string | null
  /** Asks the site; absent: this machine. */
  readonly probe?: ProbeProgram
}

/** A program that jobs name, how many do, and the first of them by name. */
export interface ProbedProgram extends Row {
  readonly executable: string
  readonly setup: string | null
  readonly container: string | null
  /** It is a file that is staged. */
  readonly pinned: boolean
  readonly jobs: number
  readonly first: string
}

/** Checks each program that the jobs of temporary table `runnable` name, before anything is submitted; what is in an image is not looked for. */
export async function probePrograms(tables: Tables, there: ProbedSite): Promise<void> {
  const programs = await tables.sql.rows<ProbedProgram>(
    `select *, exists (from files f where f.url = executable and f.kind = 'program') as pinned from (
       select j.executable, j.setup, j.container, count(*)::integer as jobs, min(j.job_id) as first
       from jobs_rows j semi join runnable r on r.job_key = j.job_key and r.revision = j.revision group by all limit 1000)`,
  )
  for (const program of programs) await probeProgram(program, there)
}

/** Throws EXECUTABLE_INVALID when the site could not run the program. */
export async function probeProgram(program: ProbedProgram, there: ProbedSite): Promise<void> {
  const { executable, setup, container, pinned, ...concerned } = program
  const { roots, probe = probeHere } = there
  try {
    if (container !== null) await probeContainer(container, setup, { ...there, probe })
    if (isRemote(executable) || (container !== null && !pinned)) return
    // The interpreter of one that runs in an image is in there.
    const interpreters = container === null ? probe : async () => undefined
    if (pinned) await checkPinned(executable, sitePath(executable, roots) ?? executable, interpreters)
    else await probeSiteProgram(executable, setup, probe)
  } catch (cause) {
    throw nameJobs(cause, concerned)
  }
}

async function stagedRows(tables: Tables, options: StageOptions): Promise<StagedRow[]> {
  const rows: StagedRow[] = []
  // One JSON text a row: a fifth of the time that values of 20 columns take one by one.
  const stream = tables.sql.stream<{ task: number; json: string }>(
    wantedSql(
      options,
      `c.task, to_json({'task': c.task, 'job_id': j.job_id, 'revision': j.revision, 'tries': coalesce(t.tries, 0),
       'executable': j.executable, 'arguments': j.arguments, 'inputs': j.inputs, 'input_names': j.input_names, 'files': j.files,
       'file_names': j.file_names, 'outputs': j.outputs, 'environment': j.environment, 'labels': j.labels, 'setup': j.setup,
       'container': j.container, 'stdin': j.stdin, 'stdout': j.stdout, 'check': j."check", 'cache': j.cache})::varchar as json`,
    ),
  )
  for await (const chunk of stream) for (const { json } of chunk) rows.push(JSON.parse(json) as StagedRow)
  return rows
}

async function stagedJobs(
  tables: Tables,
  options: StageOptions,
): Promise<{ staged: StagedJob[]; imageAt: (url: string) => string | undefined; nodesOf: NodesOf }> {
  const rows = await stagedRows(tables, options)
  const files = await stagedFiles(tables, rows, options)
  const find = (url: string): StagedFile => {
    const file = files.get(url)
    if (!file) throw new FloeError('STAGE_FAILED', `The input ${url} is not known at the site.`, { details: { url } })
    return file
  }
  const place = options.place ?? (({ path }) => path)
  const placed = new Map<string, StagedFile>()
  const findPlaced = (url: string): StagedFile => {
    const known = placed.get(url)
    if (known) return known
    const file = find(url)
    const path = isHdfs(file.path) ? file.path : place(file)
    // A copy has a time of its own; its name says its content.
    const there = path === file.path ? file : { ...file, path, mtimeUs: null }
    placed.set(url, there)
    return there
  }
  const programs = new Map<string, StagedProgram>()
  const staged = rows.map((row) => ({ row, task: row.task, job: manifestJob(row, findPlaced, programOf(row)) }))
  // An array all of whose jobs were answered needs no image.
  return { staged, imageAt: (url) => placed.get(url)?.path, nodesOf: (url) => placed.get(url)?.nodes }

  function placedProgram({ program, digest }: StagedProgram): StagedProgram {
    return { program: place({ path: program, digest, sizeBytes: null, mtimeUs: null }), digest }
  }

  function programOf(row: StagedRow): StagedProgram {
    const beside = (row.files ?? []).map((url, i) => ({ name: row.file_names![i]!, url }))
    const key = JSON.stringify([row.executable, beside])
    let program = programs.get(key)
    if (!program) {
      const pinned = files.get(row.executable)
      program = pinned
        ? placedProgram(
            stageProgram(options.cache, {
              executable: row.executable,
              program: pinned,
              files: beside.map(({ name, url }) => ({ name, file: find(url) })),
            }),
          )
        : { program: row.executable, digest: `site:${row.executable}` }
      programs.set(key, program)
    }
    return program
  }
}

/** The files that the jobs name: where they lie on the site, and their digests. What only a server has is fetched into the cache. */
async function stagedFiles(
  tables: Tables,
  rows: readonly StagedRow[],
  { roots, cache, rehearsal, stores, at }: StageOptions,
): Promise<Map<string, StagedFile>> {
  const urls = new Set<string>()
  for (const row of rows) {
    urls.add(row.executable)
    if (row.container !== null) urls.add(row.container)
    for (const url of row.inputs ?? []) urls.add(url)
    for (const url of row.files ?? []) urls.add(url)
  }
  const { sql } = tables
  await sql.run('drop table if exists staged_urls')
  await sql.load('staged_urls', [{ name: 'url', type: 'VARCHAR' }], [[...urls].map((url) => ({ url }))])
  const known = new Map<string, StagedFile>()
  const stream = sql.stream<{
    url: string
    kind: string
    digest: string | null
    size_bytes: number | null
    mtime_us: number | null
    nodes: string | null
  }>(
    `select url, kind, digest, size_bytes, epoch_us(mtime) as mtime_us, ${at === undefined ? 'null' : `case when ${at} then to_json(nodes)::varchar end`} as nodes
     from files semi join staged_urls using (url)`,
  )
  for await (const chunk of stream) {
    for (const { url, kind, digest, size_bytes, mtime_us, nodes } of chunk) {
      if (isHdfs(url) && kind === 'input') {
        const planned = rehearsal ? { sizeBytes: null, mtimeUs: null } : { sizeBytes: size_bytes, mtimeUs: mtime_us }
        known.set(url, {
          ...{ path: url, digest: digest ?? `undigested:${url}`, ...planned },
          ...(nodes !== null && { nodes: JSON.parse(nodes) as Record<NodePlace, number> }),
        })
        continue
      }
      if (isRemote(url)) {
        const asked = { digest, sizeBytes: size_bytes, mtimeUs: mtime_us, executable: kind === 'program' }
        const fetched = fetchRemote(cache, url, asked, stores)
        const told = fetched.catch((cause) => Promise.reject(nameJobs(cause, concernedBy(rows, url))))
        known.set(url, await told)
        continue
      }
      const path = sitePath(url, roots)
      if (path === undefined) continue
      const undigested = `undigested:${url}`
      if (rehearsal) {
        const content = kind === 'input' || kind === 'image' ? undigested : hashContent(path)
        known.set(url, { path, digest: content, sizeBytes: null, mtimeUs: null })
      } else known.set(url, { path, digest: digest ?? undigested, sizeBytes: size_bytes, mtimeUs: mtime_us })
    }
  }
  return known
}

function concernedBy(rows: readonly StagedRow[], url: string): Concerned {
  const names = rows.filter((row) =>
    [row.executable, row.container, ...(row.inputs ?? []), ...(row.files ?? [])].includes(url),
  )
  return { jobs: names.length, first: names[0]!.job_id }
}

/** How tasks get to what they read and write in HDFS themselves. */
async function writeEntrances(
  { directory, stores, hdfsHosts, outputs }: StageOptions,
  lines: Iterable<readonly ManifestJob[]>,
): Promise<void> {
  const urls = new Map<string, string>(isHdfs(outputs) ? [[outputs, outputs]] : [])
  for (const jobs of lines) {
    for (const { inputs } of jobs) {
      for (const { path } of inputs) if (isHdfs(path)) urls.set(path.split('/', 3).join('/'), path)
    }
  }
  if (urls.size === 0) return
  const text = JSON.stringify(await stores.entrances(urls.values(), hdfsHosts))
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  writeWhole(join(directory, 'hdfs'), (fd) => writeSync(fd, text))
}
