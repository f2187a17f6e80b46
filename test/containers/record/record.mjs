// Records what the schedulers in containers print, into test/golden/*/real: see main.ts for what there is.
// Node 20 does not read TypeScript: bundles the recorder next to its packages, and runs it.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..')
mkdirSync(join(root, 'bench-out'), { recursive: true })
const outdir = mkdtempSync(join(root, 'bench-out', '.recorder-'))
await build({
  absWorkingDir: root,
  entryPoints: { main: 'test/containers/record/main.ts' },
  outdir,
  bundle: true,
  packages: 'external',
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  logLevel: 'warning',
  // Folders are found from the sources, not from the bundle.
  define: { 'import.meta.dirname': JSON.stringify(join(root, 'test/containers')) },
})
const env = { ...process.env, TESTCONTAINERS_RYUK_DISABLED: 'true' }
const child = spawn(process.execPath, [join(outdir, 'main.js'), ...process.argv.slice(2)], { stdio: 'inherit', env })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  rmSync(outdir, { recursive: true, force: true })
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
})
