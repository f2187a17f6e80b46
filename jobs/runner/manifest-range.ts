import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { ManifestJob, ManifestTask } from '../../src/model/manifest.ts'

const READ_BYTES = 1 << 20

/** A task's range of the manifest: its header, then its jobs one at a time, so that memory does not grow with their number. */
export function readTask(directory: string, task: number): { header: ManifestTask; jobs: Iterator<ManifestJob> } {
  const [offset, length] = rangeOf(directory, task)
  const lines = readLines(join(directory, 'manifest'), offset, length)
  const first = lines.next()
  if (first.done) throw new Error(`task ${task} has no lines in the manifest`)
  const header = JSON.parse(first.value) as ManifestTask
  if (header.v !== 1) throw new Error(`the manifest has version ${header.v}; this runner reads version 1`)
  if (header.task !== task) throw new Error(`the index leads to task ${header.task} instead of ${task}`)
  return { header, jobs: parseJobs(lines) }
}

function* parseJobs(lines: Iterable<string>): Generator<ManifestJob> {
  for (const line of lines) yield JSON.parse(line) as ManifestJob
}

/** Bytes of the index a task. */
const ENTRY_BYTES = 16

export const countTasks = (directory: string): number => statSync(join(directory, 'index')).size / ENTRY_BYTES

function rangeOf(directory: string, task: number): [number, number] {
  const entry = Buffer.alloc(ENTRY_BYTES)
  const fd = openSync(join(directory, 'index'), 'r')
  try {
    if (readSync(fd, entry, 0, ENTRY_BYTES, task * ENTRY_BYTES) < ENTRY_BYTES)
      throw new Error(`the array has no task ${task}`)
  } finally {
    closeSync(fd)
  }
  return [Number(entry.readBigInt64LE(0)), Number(entry.readBigInt64LE(8))]
}

function* readLines(path: string, offset: number, length: number): Generator<string> {
  const fd = openSync(path, 'r')
  try {
    let rest = Buffer.alloc(0)
    for (let at = offset; at < offset + length; ) {
      const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, offset + length - at))
      const bytes = readSync(fd, chunk, 0, chunk.length, at)
      if (bytes === 0) throw new Error('the manifest is shorter than its index says')
      at += bytes
      const text = Buffer.concat([rest, chunk.subarray(0, bytes)])
      let from = 0
      for (let newline = text.indexOf(10); newline >= 0; newline = text.indexOf(10, from)) {
        yield text.toString('utf8', from, newline)
        from = newline + 1
      }
      rest = text.subarray(from)
    }
    if (rest.length > 0) yield rest.toString('utf8')
  } finally {
    closeSync(fd)
  }
}
