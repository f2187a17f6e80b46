import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ArraySpec } from '../../../connectors/connector.ts'
import { openLocalConnector } from '../../../connectors/local/local.ts'
import { fakeArray, fakeJob } from '../../fakes/array.ts'
import { bundle } from '../../fakes/bundle.ts'
import { processesWith, script, useRunner } from '../../fakes/task.ts'

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('runners on the local site', () => {
  const runner = useRunner()

  async function site() {
    const [schedulerFile, runnerFile] = await Promise.all([
      bundle('connectors/local/main.ts', 'local-scheduler.js'),
      bundle('jobs/runner/main.ts', 'runner.js'),
    ])
    const directory = join(runner.scratch, 'local')
    const connector = openLocalConnector({ directory, slots: 2, node: process.execPath, schedulerFile })
    const spec = (array: string, count: number): ArraySpec => ({
      ...{ name: array, directory: array, count, command: [process.execPath, runnerFile, '--array', array] },
      ...{ cpus: 1, memoryBytes: null, walltimeSec: null, gpus: 0, queue: null, account: null },
    })
    async function untilEnded(id: string): Promise<void> {
      while ((await connector.status(new Map([[id, 1]]))).some(({ state }) => state !== 'ended')) await wait(30)
    }
    return { connector, directory, spec, untilEnded }
  }

  it('run the tasks of an array, publish by rename, leave nothing on the node', async () => {
    const { connector, directory, spec, untilEnded } = await site()
    const tasks = [0, 1, 2].map((task) =>
      [0, 1, 2].map((i) =>
        fakeJob(`${task}-${i}`, { ...script('pwd > out'), outputs: [{ path: 'out', optional: false }], stdout: 'out' }),
      ),
    )
    const array = fakeArray(runner.scratch, tasks)
    await untilEnded(await connector.submit(spec(array, 3)))
    const { ended } = runner.read(array)
    expect(ended.size).toBe(9)
    expect(readdirSync(join(directory, 'running'))).toEqual([])
  })

  it('leave no job behind when one is killed, and their task ends', async () => {
    const { connector, directory, spec, untilEnded } = await site()
    const token = `orphan-${process.pid}-${Math.random()}`
    const job = (name: string, text: string) => fakeJob(name, { ...script(text), environment: { T: token } })
    const array = fakeArray(runner.scratch, [
      [
        job('first', 'true'),
        job('long', 'trap "" TERM; setsid sleep 300 & sleep 300; sleep 300'),
        job('never', 'true'),
      ],
    ])
    const id = await connector.submit(spec(array, 1))
    while (!runner.read(array).lines.some((line) => line.event === 'job started' && line.job === 'long')) await wait(30)
    const started = runner.read(array).lines[0]
    if (started?.event !== 'task started') throw new Error('the record does not begin with "task started"')
    while (processesWith(token).length < 3) await wait(30)
    process.kill(started.pid, 'SIGKILL')
    await untilEnded(id)
    expect(processesWith(token)).toEqual([])
    const after = runner.read(array)
    expect(after.seal).toBeUndefined()
    expect([...after.ended.keys()]).toEqual(['first'])
    expect(readdirSync(join(directory, 'running'))).toEqual([])
    // Moved a moment after its last task was said to have ended.
    while (!existsSync(join(directory, 'ended', id))) await wait(30)
  })
})
