import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { decodeRecord } from '../../../src/model/record.ts'
import { fakeJob } from '../../fakes/array.ts'
import { processesWith, script, useRunner } from '../../fakes/task.ts'

const JOBS = 120
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('runner killed with KILL at random times', () => {
  const runner = useRunner()

  it('leaves true records and whole outputs; the next attempts do the rest', async () => {
    const directory = runner.array(
      Array.from({ length: JOBS }, (_, i) =>
        fakeJob(`j${i}`, {
          ...script(
            `seq 1 2000 > o/${i}; ${i % 7 === 0 ? 'sleep 0.1;' : ''} echo out ${i}; echo ${i} >> '${runner.scratch}/ran'`,
          ),
          outputs: [{ path: `o/${i}`, optional: false }],
        }),
      ),
    )
    let kills = 0
    for (let attempt = 1; attempt <= 7; attempt++) {
      const { child, exit } = await runner.start(directory)
      const decidedBefore = new Set(runner.read(directory).ended.keys())
      const ranBefore = ran().length
      while (!existsSync(join(directory, `records/0.${attempt}`))) await wait(5)
      const timer = setTimeout(() => child.kill('SIGKILL'), attempt === 7 ? 60_000 : Math.random() * 400)
      const status = await exit
      const atExit = ran().length
      clearTimeout(timer)
      for (const i of ran().slice(ranBefore)) expect(decidedBefore.has(`j${i}`)).toBe(false)
      for (const name of existsSync(outputs()) ? readdirSync(outputs()) : [])
        expect(readFileSync(join(outputs(), name), 'utf8').length).toBe(8893)
      if (status === 0) break
      kills++
      // The job that ran when the runner died may end; none is started after it.
      await wait(300)
      expect(ran().length).toBeLessThanOrEqual(atExit + 1)
    }
    expect(kills).toBeGreaterThan(0)
    const done = runner.read(directory)
    expect(done.seal).toBe('done')
    expect(done.ended.size).toBe(JOBS)
    for (const [name, { verdict, stdout }] of done.ended) {
      expect(verdict).toBe('succeeded')
      expect(done.log(stdout)).toBe(`out ${name.slice(1)}\n`)
    }
    for (const file of readdirSync(join(directory, 'records'))) {
      const text = readFileSync(join(directory, 'records', file), 'utf8').split('\n')
      text.pop()
      for (const line of text) expect(decodeRecord(line)).toBeDefined()
    }

    function ran(): string[] {
      const path = join(runner.scratch, 'ran')
      return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
    }
    function outputs(): string {
      return join(runner.scratch, 'outputs/o')
    }
  })

  it('leaves no job running, nor one that ignores TERM', async () => {
    const token = `guarded-${process.pid}-${Math.random()}`
    const long = { ...script('trap "" TERM; sleep 300 & sleep 300; sleep 300'), environment: { T: token } }
    const directory = runner.array([fakeJob('long', long), fakeJob('never', script('true'))])
    const { child, exit } = await runner.start(directory)
    while (processesWith(token).length < 3) await wait(30)
    child.kill('SIGKILL')
    await exit
    while (processesWith(token).length > 0) await wait(50)
    expect(runner.read(directory).ended.size).toBe(0)
  })
})
