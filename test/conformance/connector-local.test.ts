import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { openCommandConnector } from '../../connectors/command.ts'
import type { Connector } from '../../connectors/connector.ts'
import { localDialect } from '../../connectors/local/dialect.ts'
import { openLocalConnector } from '../../connectors/local/local.ts'
import { layerOf, machineOf, nameProcess, thisMachine } from '../../connectors/local/process.ts'
import { idOf } from '../../connectors/local/queue.ts'
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
  await killWoken(directory)
}

/** One that was woken a moment ago may not have its lock yet. */
async function killWoken(directory: string): Promise<void> {
  for (let quiet = 0; quiet < 5; quiet++) {
    await killQueue(directory)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** As a scheduler that runs on a machine whose processes cannot be seen here; the pid is one that lives here. */
function holdElsewhere(site: string): string {
  mkdirSync(site, { recursive: true })
  const lock = join(site, 'lock.7')
  const { start } = nameProcess(process.pid)!
  writeFileSync(lock, JSON.stringify({ pid: process.pid, machine: 'frost1 (0123456789ab)', start: `${start}0` }))
  return lock
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

it.each([
  ['in process', inProcess],
  ['by commands', byCommands],
])('leaves a queue alone that another machine has, %s', async (_, open) => {
  const directory = mkdtempSync(join(tmpdir(), 'floe-other-'))
  const site = join(directory, 'site')
  try {
    const array = countedArray(directory, 'other', 1)
    const id = await inProcess(site).submit(array)
    await until(() => existsSync(join(site, 'ended', id)))
    await until(() => schedulerPid(site) === undefined)
    const lock = holdElsewhere(site)
    const [connector, held] = [open(site), readFileSync(lock, 'utf8')]
    const told = {
      kind: 'refused',
      message: expect.stringContaining(`another machine has the queue ${site}: floe's scheduler runs on frost1 (`),
      hint: expect.stringContaining('Give each machine a `scratch:` of its own'),
    }
    await expect(connector.submit({ ...countedArray(directory, 'next'), name: 'next' })).rejects.toMatchObject(told)
    await expect(connector.cancel(id)).rejects.toMatchObject(told)
    await expect(connector.status(new Map([[id, 1]]))).rejects.toMatchObject(told)
    execFileSync(process.execPath, [schedulerFile, 'schedule', site, '0'])
    expect(readdirSync(site).filter((name) => name.startsWith('lock.'))).toEqual(['lock.7'])
    expect(readFileSync(lock, 'utf8')).toBe(held)
    expect(readdirSync(join(site, 'queue'))).toEqual([])
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  }
})

it('neither ends nor starts a task that another machine has begun', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'floe-begun-'))
  const site = join(directory, 'site')
  try {
    const array = countedArray(directory, 'begun', 2)
    const folder = join(site, 'queue', idOf(array.name))
    mkdirSync(folder, { recursive: true })
    const spec = { ...array, submittedAt: 1, environment: { PATH: process.env.PATH } }
    writeFileSync(join(folder, 'spec.json'), JSON.stringify(spec))
    writeFileSync(join(folder, '0.pid'), '99999999 frost1 (0123456789ab)\n')
    const connector = inProcess(site)
    const look = async () => (await connector.status(new Map([[idOf(array.name), 2]]))).map(({ state }) => state)
    while ((await look())[1] !== 'ended') await new Promise((resolve) => setTimeout(resolve, 30))
    expect(readFileSync(join(directory, 'begun', 'ran'), 'utf8')).toBe('1\n')
    expect(readFileSync(join(folder, 'tasks'), 'utf8')).not.toContain('"task":0')
    expect(readFileSync(join(folder, '1.pid'), 'utf8')).toContain(` ${thisMachine}\n`)
  } finally {
    await killWoken(site)
    rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  }
})

it('knows a container by its writable layer, which outlives a restart, where the engine tells it', () => {
  const layer = 'c0ffee'.repeat(10) + 'cafe'
  const line = (options: string) =>
    `612 475 0:52 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/l/A:/l/B,${options}xino=off\n613 612 0:55 / /proc rw - proc proc rw\n`
  for (const engine of ['/var/lib/docker/overlay2', '/home/alice/.local/share/containers/storage/overlay'])
    expect(layerOf(line(`upperdir=${engine}/${layer}/diff,workdir=${engine}/${layer}/work,`), 'b1')).toBe(layer)
  const snapshots = '/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/1234'
  expect(layerOf(line(`upperdir=${snapshots}/fs,workdir=${snapshots}/work,`), 'b1')).toBe('1234 b1')
  // What may be the same for two that live at once.
  for (const other of [
    line(''),
    line('upperdir=/run/session/overlay/upper,workdir=/run/session/overlay/work,'),
    line(`upperdir=/data/snapshots/1234/fs,workdir=/data/snapshots/1234/work,`),
    `22 27 0:21 / /proc rw - proc proc rw\n612 475 0:52 / /mnt rw - overlay o rw,upperdir=/d/${layer}/diff,workdir=/w\n`,
    '',
  ])
    expect(layerOf(other, 'b1')).toBeUndefined()
  const [before, after] = ['pid:[4026532100]', 'pid:[4026532200]']
  expect(machineOf('box', 'aaaa', before, layer)).toBe(machineOf('box', 'aaaa', after, layer))
  expect(machineOf('box', 'aaaa', before, layer)).not.toBe(machineOf('box', 'aaaa', before, `${layer}0`))
  expect(machineOf('box', 'aaaa', before, layer)).not.toBe(machineOf('box', 'aaaa', before))
  // Pids of the host are the host's, in a container too.
  expect(machineOf('box', 'aaaa', 'pid:[4026531836]', layer)).toBe(machineOf('box', 'aaaa', 'pid:[4026531836]'))
})

it('knows a machine by its name, its id, and in a container its pids', () => {
  const host = 'pid:[4026531836]'
  const one = machineOf('frost1.example.org', 'aaaa\n', host)
  expect(one).toMatch(/^frost1 \([0-9a-f]{12}\)$/)
  expect(machineOf('frost1.home', 'aaaa', host)).toBe(one)
  const others = [
    machineOf('frost2', 'aaaa', host),
    machineOf('frost1', 'bbbb', host),
    machineOf('frost1', 'aaaa', 'pid:[4026532100]'),
    machineOf('frost1', 'aaaa', 'pid:[4026532200]'),
  ]
  expect(new Set([one, ...others]).size).toBe(5)
})
