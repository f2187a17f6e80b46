import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readManifest } from '../../src/stage/stage.ts'

/** Writes a staged array anew, as one whose elements choose their tasks when they start. */
export function letChoose(directory: string): void {
  const tasks = readFileSync(join(directory, 'index')).length / 16
  const index = Buffer.alloc(tasks * 16)
  let text = ''
  for (let task = 0; task < tasks; task++) {
    const { header, jobs } = readManifest(directory, task)
    const range = [{ ...header, binds_late: true }, ...jobs].map((line) => `${JSON.stringify(line)}\n`).join('')
    index.writeBigInt64LE(BigInt(Buffer.byteLength(text)), task * 16)
    index.writeBigInt64LE(BigInt(Buffer.byteLength(range)), task * 16 + 8)
    text += range
  }
  writeFileSync(join(directory, 'manifest'), text)
  writeFileSync(join(directory, 'index'), index)
}
