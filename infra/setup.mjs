// Makes a fresh clone usable: installs the packages of package-lock.json when they are absent or older than it, builds, and puts
// `floe` into node_modules/.bin. Touches nothing outside the clone.
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`floe needs Node 20.19 or newer; this is ${process.versions.node}.`)
  process.exit(2)
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (status !== 0) {
    console.error(`\`${command} ${args.join(' ')}\` failed${error ? `: ${error.message}` : ` with exit ${status}`}.`)
    process.exit(status ?? 1)
  }
}

const installed = join(root, 'node_modules', '.package-lock.json')
const wanted = join(root, 'package-lock.json')
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(wanted).mtimeMs) {
  console.error('Installing the packages of package-lock.json into node_modules, once.')
  // The build needs the development packages also where npm is set to leave them out, as NODE_ENV=production does.
  const include = ['--include=dev', '--include=optional']
  run('npm', ['ci', '--ignore-scripts', ...include, '--no-audit', '--no-fund', '--loglevel=error'])
}
run(process.execPath, [join(root, 'infra', 'build.mjs')])

const command = join(root, 'node_modules', '.bin', 'floe')
if (!existsSync(command)) {
  rmSync(command, { force: true })
  symlinkSync(join('..', '..', 'dist', 'cli.js'), command)
}
