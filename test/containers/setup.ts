import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { getContainerRuntimeClient } from 'testcontainers'
import type { TestProject } from 'vitest/node'
import { imageNames, imageOf } from './images.ts'
import { isEngineInUse, sweep } from './owner.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Why there is no engine for containers; empty where there is one. */
    noEngine: string
  }
}

const ENGINE = join(import.meta.dirname, '../../infra/engine.sh')

/**
 * Sees to an engine, images, and a clean start. FLOE_CONTAINERS=off leaves the container tests out; `required` makes a missing engine a
 * failure; without it they are left out, and named, where no engine answers and none can be started.
 */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  // This runs outside the tests' own environment.
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true'
  const wish = process.env.FLOE_CONTAINERS ?? ''
  const engine = wish === 'off' ? { why: 'FLOE_CONTAINERS is off.' } : await openEngine()
  if ('why' in engine) {
    if (wish === 'required') throw new Error(`FLOE_CONTAINERS=required, but ${engine.why}`)
    const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.test.ts'))
    console.error(`\nLeft out: ${files.join(', ')} in test/containers. ${engine.why}\n`)
    project.provide('noEngine', engine.why)
    return undefined
  }
  const swept = await sweep()
  if (swept > 0) console.error(`Removed ${swept} containers, networks and volumes that killed runs had left.`)
  const packages = Promise.all([installPackages('packages'), installPackages('sources')])
  for (const name of imageNames) await imageOf(name)
  await packages
  project.provide('noEngine', '')
  return async () => {
    if (!engine.isStartedHere) return
    if (await isEngineInUse()) console.error('The engine stays: another run uses it. `infra/engine.sh stop` ends it.')
    else spawnSync(ENGINE, ['stop'], { stdio: ['ignore', 2, 2] })
  }
}

/**
 * What these tests use and floe itself does not install: node-rdkafka in `packages`, which compiles for some minutes, once; in `sources` what is
 * compiled in a container. Where that fails, only the tests that need it fail. Answers when it is there.
 */
function installPackages(name: 'packages' | 'sources'): Promise<void> {
  const folder = join(import.meta.dirname, name)
  const [wanted, there] = ['package-lock.json', 'node_modules/.package-lock.json'].map((path) =>
    statSync(join(folder, path), { throwIfNoEntry: false }),
  )
  if (there && wanted && there.mtimeMs >= wanted.mtimeMs) return Promise.resolve()
  const isCompiled = name === 'packages'
  console.error(`Installing the packages of test/containers/${name}${isCompiled ? '; node-rdkafka is compiled' : ''}.`)
  // Its build does not bear to be made by several jobs of make.
  const { MAKEFLAGS: _, JOBS: __, ...environment } = process.env
  const npm = spawn('npm', ['ci', `--ignore-scripts=${!isCompiled}`, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
    env: environment,
  })
  return new Promise((resolve) => {
    npm.on('error', () => resolve())
    npm.on('exit', (status) => {
      if (status !== 0) console.error(`npm ci in test/containers/${name} ended with exit ${status}.`)
      resolve()
    })
  })
}

async function openEngine(): Promise<{ why: string } | { isStartedHere: boolean }> {
  // Also where one answers: it may lack the image that all others start from.
  const { status, stdout, stderr } = spawnSync(ENGINE, ['start'], { encoding: 'utf8' })
  const isStartedHere = stdout.includes('started')
  if (isStartedHere || status !== 0) process.stderr.write(stderr)
  if (status !== 0) return { why: `No engine for containers: ${stderr.trim().split('\n').at(-1)}` }
  return getContainerRuntimeClient().then(
    () => ({ isStartedHere }),
    (error: Error) => ({ why: `testcontainers does not reach the engine: ${error.message}` }),
  )
}
