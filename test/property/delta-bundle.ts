import { mkdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** Bundles a program of the tests for a process of its own; returns its path. */
export async function bundle(source: URL): Promise<string> {
  const folder = fileURLToPath(new URL('../../node_modules/.cache/floe-test/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  const outfile = join(folder, `${basename(source.pathname, '.ts')}.${process.pid}.mjs`)
  await build({
    entryPoints: [fileURLToPath(source)],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
  })
  return outfile
}
