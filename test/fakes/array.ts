import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ManifestJob, ManifestTask } from '../../src/model/manifest.ts'

/** A job with only what a test says of it. */
export function fakeJob(job: string, fields: Partial<ManifestJob> & Pick<ManifestJob, 'program'>): ManifestJob {
  return { job, revision: 1, job_digest: `digest of ${job}`, try: 1, arguments: [], inputs: [], outputs: [], ...fields }
}

/** Writes an array's directory below `scratch`, as staging does, and gives its path. */
export function fakeArray(
  scratch: string,
  tasks: readonly (readonly ManifestJob[])[],
  terms: Partial<ManifestTask> = {},
): string {
  const name = terms.array ?? 'a1'
  const directory = join(scratch, 'arrays', name)
  for (const folder of ['records', 'logs']) mkdirSync(join(directory, folder), { recursive: true })
  const outputs = terms.outputs ?? join(scratch, 'outputs')
  mkdirSync(outputs, { recursive: true })
  const index = Buffer.alloc(tasks.length * 16)
  let manifest = ''
  let offset = 0
  for (const [task, jobs] of tasks.entries()) {
    const header: ManifestTask = {
      ...{ v: 1, campaign: 'c-1', array: name, task, batch: task, jobs: jobs.length, cpus: 1 },
      ...{ memory_bytes: null, walltime_sec: null, setup: null, publish: 'files', sandboxes_max: 20 },
      sandboxes: join(scratch, 'sandboxes'),
      ...terms,
      outputs,
    }
    const text = [header, ...jobs].map((line) => `${JSON.stringify(line)}\n`).join('')
    index.writeBigInt64LE(BigInt(offset), task * 16)
    index.writeBigInt64LE(BigInt(Buffer.byteLength(text)), task * 16 + 8)
    offset += Buffer.byteLength(text)
    manifest += text
  }
  writeFileSync(join(directory, 'manifest'), manifest)
  writeFileSync(join(directory, 'index'), index)
  return directory
}
