import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import type { ManifestJob, ManifestTask } from '../model/manifest.ts'

/** One task's range of an array's manifest. Costs two reads. */
export function readManifest(directory: string, task: number): { header: ManifestTask; jobs: ManifestJob[] } {
  const index = readFileSync(join(directory, 'index'))
  if (task < 0 || (task + 1) * 16 > index.length) throw new FloeError('BUG', `${directory} has no task ${task}.`)
  const bytes = Buffer.alloc(Number(index.readBigInt64LE(task * 16 + 8)))
  const fd = openSync(join(directory, 'manifest'), 'r')
  try {
    readSync(fd, bytes, 0, bytes.length, Number(index.readBigInt64LE(task * 16)))
  } finally {
    closeSync(fd)
  }
  const [header, ...jobs] = bytes.toString('utf8').trimEnd().split('\n')
  return { header: JSON.parse(header!) as ManifestTask, jobs: jobs.map((line) => JSON.parse(line) as ManifestJob) }
}
