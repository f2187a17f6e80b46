import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll } from 'vitest'
import { openLocalConnector } from '../../connectors/local/local.ts'
import { bundle } from '../fakes/bundle.ts'
import { connectorConformance } from './connector.ts'

let schedulerFile = ''
beforeAll(async () => {
  schedulerFile = await bundle('connectors/local/scheduler.ts', 'local-scheduler.js')
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

connectorConformance('local', {
  open: (directory) => openLocalConnector({ directory, slots: 2, node: process.execPath, schedulerFile }),
  killQueue,
  async close(directory) {
    const connector = openLocalConnector({ directory, slots: 2, node: process.execPath, schedulerFile })
    const queued = readdirSync(join(directory, 'queue'))
    for (const id of queued) await connector.cancel(id)
    for (let tries = 0; tries < 200 && readdirSync(join(directory, 'queue')).length > 0; tries++)
      await new Promise((resolve) => setTimeout(resolve, 50))
    // One that was woken a moment ago may not have its lock yet.
    for (let quiet = 0; quiet < 3; quiet++) {
      await killQueue(directory)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  },
})
