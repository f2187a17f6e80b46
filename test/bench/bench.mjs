// Node 20 does not read TypeScript: bundles the benchmark and its programs next to their packages, and runs it. Arguments are those of main.ts.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
mkdirSync(join(root, 'bench-out'), { recursive: true })
const outdir = mkdtempSync(join(root, 'bench-out', '.programs-'))
await build({
  absWorkingDir: root,
  entryPoints: {
    main: 'test/bench/main.ts',
    'duckdb-copy': 'test/bench/duckdb-copy.ts',
    'follow-site': 'test/bench/follow-site.ts',
    'warm-status': 'test/bench/warm-status.ts',
    'bare-kafka': 'test/bench/bare-kafka.ts',
  },
  outdir,
  bundle: true,
  packages: 'external',
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  logLevel: 'warning',
})
const child = spawn(process.execPath, [join(outdir, 'main.js'), ...process.argv.slice(2)], { stdio: 'inherit' })
// The benchmark ends what it started; this process only waits for it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  rmSync(outdir, { recursive: true, force: true })
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
})
