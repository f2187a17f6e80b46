// Bundles the mains into dist/: the command line, the library, the runner, the local scheduler. Types go to dist/types.

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
/** Split, so that each verb loads only what it needs. */
const split = { cli: 'src/cli/main.ts', floe: 'src/floe.ts' }
/** One file each, because they are staged to sites by content. */
const single = { runner: 'jobs/runner/main.ts', 'local-scheduler': 'connectors/local/main.ts' }

const options = {
  absWorkingDir: root,
  outdir: 'dist',
  bundle: true,
  // DuckDB's API is 150 files: in one bundle it loads in a third of the time. Native parts stay where npm put them.
  // ssh2 is CommonJS whose parts look for `__dirname` and for what is compiled at install, where it is.
  external: ['@duckdb/node-bindings-*', 'ssh2'],
  mainFields: ['module', 'main'],
  // CommonJS packages in an ESM bundle call `require` for Node's own modules.
  banner: {
    js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);",
  },
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  sourcemap: 'linked',
  logLevel: 'warning',
  metafile: true,
}
const present = (entries) =>
  Object.fromEntries(Object.entries(entries).filter(([, file]) => existsSync(join(root, file))))
const built = await Promise.all([
  build({ ...options, entryPoints: present(split), splitting: true }),
  build({ ...options, entryPoints: present(single) }),
])
const written = new Set(
  built.flatMap(({ metafile }) => Object.keys(metafile.outputs).map((file) => file.replace(/^dist\//, ''))),
)
for (const file of existsSync(join(root, 'dist')) ? readdirSync(join(root, 'dist')) : []) {
  if (/\.js(\.map)?$/.test(file) && !written.has(file)) rmSync(join(root, 'dist', file))
}
const command = join(root, 'dist', 'cli.js')
if (existsSync(command)) makeCommand(command)
if (process.argv.includes('--types')) {
  const tsc = join(root, 'node_modules', '.bin', 'tsc')
  const args = [
    '-p',
    'tsconfig.json',
    '--noEmit',
    'false',
    '--emitDeclarationOnly',
    '--declaration',
    '--outDir',
    'dist/types',
  ]
  process.exitCode = spawnSync(tsc, args, { cwd: root, stdio: 'inherit' }).status ?? 1
}

/** A shell can start it: first line and run bit. The source map gets an empty line for it. */
function makeCommand(path) {
  const text = readFileSync(path, 'utf8')
  if (!text.startsWith('#!')) {
    writeFileSync(path, `#!/usr/bin/env node\n${text}`)
    const map = JSON.parse(readFileSync(`${path}.map`, 'utf8'))
    writeFileSync(`${path}.map`, JSON.stringify({ ...map, mappings: `;${map.mappings}` }))
  }
  chmodSync(path, 0o755)
}
