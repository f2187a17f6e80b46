import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

/** Bundles one main as infra/build.mjs does, into a directory of its own, so that a test runs what is in the sources. */
export async function bundle(entry: string, name: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'floe-bundle-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  const outfile = join(directory, name)
  await build({
    ...{ entryPoints: [entry], outfile, bundle: true, packages: 'external' },
    ...{ platform: 'node', target: 'node20.19', format: 'esm', logLevel: 'warning' },
  })
  return outfile
}
