import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { openCommandConnector } from '../../connectors/command.ts'
import type { Connector } from '../../connectors/connector.ts'
import { localDialect } from '../../connectors/local/dialect.ts'
import { openLocalConnector } from '../../connectors/local/local.ts'
import { localTransport } from '../../connectors/transport/local.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import { bundle } from '../fakes/bundle.ts'
import { shellTransport } from '../fakes/shell-transport.ts'
import { countedArray, cutPoints, stopAt } from '../fakes/submissions.ts'
import { connectorConformance } from './connector.ts'

let schedulerFile = ''
beforeAll(async () => {
  schedulerFile = await bundle('connectors/local/main.ts', 'local-scheduler.js')
})

const inProcess = (directory: string): Connector =>
  openLocalConnector({ directory, slots: 2, node: process.execPath, schedulerFile })
/** As a machine that has no scheduler, from elsewhere: by commands alone. */
const byCommands = (directory: string, transport: Transport = localTransport()): Connector =>
  openCommandConnector({
    dialect: localDialect({ program: [process.execPath, schedulerFile], directory, slots: 2 }),
    transport,
    looksMs: [50, 100],
  })

/** The scheduler of a site, by its lock. */
function schedulerPid(directory: string): number | undefined {
  const lock = readdirSync(directory).find((name) => name.startsWith('lock.'))
  return lock === undefined
    ? undefined
    : (JSON.parse(readFileSync(join(directory, lock), 'utf8')) as { pid: number }).pid
}

async function killQueue(directory: string): Promise<void> {
  try {
    const pid = schedulerPid(directory)
    if (pid === undefined) return
    process.kill(pid, 'SIGKILL')
    while (process.kill(pid, 0)) await new Promise((resolve) => setTimeout(resolve, 5))
  } catch {
    // It had ended by itself.
  }
}

async function close(directory: string): Promise<void> {
  const connector = inProcess(directory)
  const folder = join(directory, 'queue')
  const queued = (): string[] => (existsSync(folder) ? readdirSync(folder) : [])
  for (const id of queued()) await connector.cancel(id)
  for (let tries = 0; tries < 200 && queued().length > 0; tries++)
    await new Promise((resolve) => setTimeout(resolve, 50))
  // One that was woken a moment ago may not have its lock yet.
  for (let quiet = 0; quiet < 3; quiet++) {
    await killQueue(directory)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 30))
}

connectorConformance('local', { open: inProcess, killQueue, close })
connectorConformance('local by commands', { open: (directory) => byCommands(directory), killQueue, close, slots: 2 })

it('submits once by commands, wherever the shell is killed', { timeout: 300_000 }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'floe-once-'))
  const site = join(directory, 'site')
  try {
    const first = countedArray(directory, 'p0')
    const way = { bin: directory, directory, all: true }
    const points = await cutPoints((transport) => byCommands(site, transport).submit(first), way)
    expect(points.length).toBeGreaterThan(40)
    const arrays = [first]
    for (const point of points) {
      const array = countedArray(directory, `p${point.command}`)
      arrays.push(array)
      await byCommands(site, stopAt(point, { bin: directory }))
        .submit(array)
        .catch((error: unknown) => {
          expect(error).toMatchObject({ name: 'ConnectorError', kind: 'unreachable' })
        })
      await byCommands(site, shellTransport({ bin: directory })).submit(array)
    }
    const connector = inProcess(site)
    const ids = new Map(readdirSync(join(site, 'queue')).map((id) => [id, 2]))
    const open = async () => (await connector.status(ids)).filter(({ state }) => state !== 'ended').length
    while ((await open()) > 0) await new Promise((resolve) => setTimeout(resolve, 50))
    for (const { directory: path } of arrays)
      expect(readFileSync(join(path, 'ran'), 'utf8').trimEnd().split('\n').sort()).toEqual(['0', '1'])
    expect(arrays.length).toBe(points.length + 1)
  } finally {
    await close(site)
    rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  }
})

it('runs tasks in the locale and time zone of who submits', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'floe-own-'))
  const site = join(directory, 'site')
  try {
    const array = countedArray(directory, 'own', 1)
    writeFileSync(
      array.command[1]!,
      `echo "$LC_ALL $TZ" >'${directory}/of'; mv '${directory}/of' '${directory}/own of'\n`,
    )
    const env = { LC_ALL: 'en_GB.UTF-8', TZ: 'Asia/Tokyo' }
    await byCommands(site, shellTransport({ bin: directory, env })).submit(array)
    await until(() => existsSync(join(directory, 'own of')))
    expect(readFileSync(join(directory, 'own of'), 'utf8')).toBe('en_GB.UTF-8 Asia/Tokyo\n')
  } finally {
    await close(site)
    rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  }
})
