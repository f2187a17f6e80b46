import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

/** Bundles one main as infra/build.mjs does, under its content, so that a test runs what is in the sources and little is left behind. */
export async function bundle(entry: string, name: string): Promise<string> {
  const { outputFiles } = await build({
    ...{ entryPoints: [entry], bundle: true, packages: 'external', write: false },
    ...{ platform: 'node', target: 'node20.19', format: 'esm', logLevel: 'warning' },
  })
  const { contents } = outputFiles[0]!
  const digest = createHash('sha256').update(contents).digest('hex').slice(0, 16)
  const directory = join(tmpdir(), `floe-bundle-${userInfo().uid}-${digest}`)
  if (!existsSync(directory)) {
    const aside = `${directory}.${process.pid}`
    mkdirSync(aside, { recursive: true, mode: 0o700 })
    writeFileSync(join(aside, 'package.json'), '{"type":"module"}')
    writeFileSync(join(aside, name), contents)
    try {
      renameSync(aside, directory)
    } catch {
      // Another test was first.
      rmSync(aside, { recursive: true, force: true })
    }
  }
  return join(directory, name)
}
