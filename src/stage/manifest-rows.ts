import { labelsNamed, resolveArguments } from '../model/arguments.ts'
import { assert } from '../model/errors.ts'
import type { ManifestInput, ManifestJob } from '../model/manifest.ts'
import type { NodePlace } from '../model/places.ts'
import { jobDigest } from './job-digest.ts'
import { isHdfs } from './site-path.ts'

/** One job of an array with all that staging needs, as `stagedJobsSql` gives it. Lists of inputs and files are parallel. */
export interface StagedRow {
  readonly task: number
  readonly job_id: string
  readonly revision: number
  readonly tries: number
  readonly executable: string
  readonly arguments: readonly string[] | null
  readonly inputs: readonly string[] | null
  readonly input_names: readonly string[] | null
  readonly files: readonly string[] | null
  readonly file_names: readonly string[] | null
  readonly outputs: readonly { readonly path: string; readonly optional: boolean | null }[] | null
  readonly environment: Readonly<Record<string, string>> | null
  readonly labels: Readonly<Record<string, string>> | null
  readonly setup: string | null
  readonly container: string | null
  readonly stdin: string | null
  readonly stdout: string | null
  readonly check: string | null
  readonly cache: boolean | null
}

/** What is known of a file when its job is staged. */
export interface StagedFile {
  /** An input in HDFS keeps its address. */
  readonly path: string
  readonly digest: string
  readonly sizeBytes: number | null
  readonly mtimeUs: number | null
  /** Of an input in HDFS: bytes of it at each node, where that is known and asked for. */
  readonly nodes?: Readonly<Record<NodePlace, number>>
}

export interface StagedProgram {
  /** argv[0] on the site. */
  readonly program: string
  readonly digest: string
}

/** A job's line of the manifest. `find` gives the staged file of a url, `program` that of the job. */
export function manifestJob(row: StagedRow, find: (url: string) => StagedFile, program: StagedProgram): ManifestJob {
  const inputNames = row.input_names ?? []
  const outputs = (row.outputs ?? []).map(({ path, optional }) => ({ path, optional: optional === true }))
  const labels = row.labels ?? {}
  const link = (urls: readonly string[], names: readonly string[]) =>
    urls.map((url, i): [ManifestInput, string] => {
      const { path, digest, sizeBytes, mtimeUs } = find(url)
      // Only who brings it reads it before the job does.
      const told = isHdfs(path) && digest.startsWith('sha256:') ? { digest } : {}
      return [{ name: names[i]!, path, size_bytes: sizeBytes, mtime: mtimeUs, ...told }, digest]
    })
  const inputs = link(row.inputs ?? [], inputNames)
  const files = link(row.files ?? [], row.file_names ?? [])
  const resolved = resolveArguments(row.arguments, {
    inputs: inputNames,
    outputs: outputs.map(({ path }) => path),
    labels,
  })
  assert(resolved, `arguments of ${row.job_id} name what it has not; add should have rejected it`)
  const named = ([{ name }, digest]: [ManifestInput, string]) => ({ name, digest })
  const digest = jobDigest({
    program: program.digest,
    arguments: row.arguments,
    inputs: inputs.map(named),
    files: files.map(named),
    labels: labelsNamed(row.arguments, labels),
    outputs: outputs.map(({ path }) => path),
    environment: row.environment ?? {},
    setup: row.setup,
    container: row.container === null ? null : find(row.container).digest,
    stdin: row.stdin,
    stdout: row.stdout,
    check: row.check,
  })
  return {
    job: row.job_id,
    revision: row.revision,
    job_digest: digest,
    try: Number(row.tries) + 1,
    program: program.program,
    arguments: resolved,
    inputs: inputs.map(([input]) => input),
    outputs,
    ...(files.length > 0 && { files: files.map(([file]) => file) }),
    ...(row.environment && Object.keys(row.environment).length > 0 && { environment: row.environment }),
    ...(row.stdin !== null && { stdin: row.stdin }),
    ...(row.stdout !== null && { stdout: row.stdout }),
    ...(row.check !== null && { check: row.check }),
  }
}
