import { createHash } from 'node:crypto'

/** What a result depends on. Lists are in the job's order. */
export interface DigestParts {
  readonly program: string
  readonly arguments: readonly string[] | null
  readonly inputs: readonly { readonly name: string; readonly digest: string }[]
  readonly files: readonly { readonly name: string; readonly digest: string }[]
  /** Labels that the arguments name, with their values. */
  readonly labels: Readonly<Record<string, string>>
  readonly outputs: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly setup: string | null
  readonly container: string | null
  readonly stdin: string | null
  readonly stdout: string | null
  readonly check: string | null
}

/*
 * job_digest, version 1: SHA-256, hex, of the JSON text of the array below. A program sees the names of its inputs, so they count; of the
 * outputs only what a program cannot be told apart by counts: their number, and the text of globs and folders.
 */
export function jobDigest(parts: DigestParts): string {
  const sorted = (map: Readonly<Record<string, string>>) => Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1))
  const text = JSON.stringify([
    1,
    parts.program,
    parts.arguments,
    parts.inputs.map(({ name, digest }) => [name, digest]),
    parts.files.map(({ name, digest }) => [name, digest]),
    sorted(parts.labels),
    parts.outputs.map((path) => (/[*?[]|\/$/.test(path) ? path : '')),
    sorted(parts.environment),
    parts.setup,
    parts.container,
    parts.stdin,
    parts.stdout === null ? null : parts.outputs.indexOf(parts.stdout),
    parts.check,
  ])
  return createHash('sha256').update(text).digest('hex')
}
