import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { ManifestJob, ManifestTask } from '../model/manifest.ts'

export interface Manifest {
  readonly headers: readonly ManifestTask[]
  readonly lines: ReadonlyMap<number, readonly ManifestJob[]>
  readonly places: string | undefined
}

/** Manifest, places and index, each whole or absent. */
export function writeManifest(directory: string, { headers, lines, places }: Manifest): void {
  for (const folder of ['records', 'logs']) mkdirSync(join(directory, folder), { recursive: true, mode: 0o700 })
  const index = Buffer.alloc(headers.length * 16)
  let offset = 0
  writeWhole(join(directory, 'manifest'), (fd) => {
    for (const [i, header] of headers.entries()) {
      const jobs = lines.get(header.task) ?? []
      const bytes = writeSync(fd, [header, ...jobs].map((line) => `${JSON.stringify(line)}\n`).join(''))
      index.writeBigInt64LE(BigInt(offset), i * 16)
      index.writeBigInt64LE(BigInt(bytes), i * 16 + 8)
      offset += bytes
    }
  })
  if (places !== undefined) writeWhole(join(directory, 'places'), (fd) => writeSync(fd, places))
  // The index comes last: an array with an index is staged.
  writeWhole(join(directory, 'index'), (fd) => writeSync(fd, index))
}

export function writeWhole(path: string, write: (fd: number) => void): void {
  const aside = `${path}.${process.pid}`
  const fd = openSync(aside, 'w', 0o600)
  try {
    write(fd)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(aside, path)
}
