import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import type { ManifestJob, ManifestTask } from '../model/manifest.ts'

/** Bytes that hold the first line of most manifests. */
const HEADER_BYTES = 1 << 16

/** Whether elements of an array choose their tasks when they start; undefined: it is not staged here. */
export function bindsLate(directory: string): boolean | undefined {
  if (!existsSync(join(directory, 'index'))) return undefined
  const fd = openSync(join(directory, 'manifest'), 'r')
  try {
    for (let size = HEADER_BYTES; ; size *= 2) {
      const bytes = Buffer.alloc(size)
      const read = readSync(fd, bytes, 0, size, 0)
      const end = bytes.subarray(0, read).indexOf('\n')
      if (end >= 0) return (JSON.parse(bytes.toString('utf8', 0, end)) as ManifestTask).binds_late === true
      if (read < size) return undefined
    }
  } finally {
    closeSync(fd)
  }
}

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
