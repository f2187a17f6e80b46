import { parseArgs } from 'node:util'
import { runTask } from './runner.ts'

/** As the job script leaves when it cannot write to scratch. */
const NOT_RECORDED = 73
const USAGE = 'usage: node runner.js --array DIR --task N [--cpus C] [--walltime SECONDS]'

const { values } = parseArgs({
  options: {
    array: { type: 'string' },
    task: { type: 'string' },
    cpus: { type: 'string' },
    walltime: { type: 'string' },
  },
})
const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text))
const { array } = values
const task = number(values.task)
if (array === undefined || task === undefined || !Number.isInteger(task)) {
  process.stderr.write(`${USAGE}\n`)
  process.exit(2)
}
const ending = await runTask({
  array,
  element: task,
  cpus: number(values.cpus),
  walltimeSec: number(values.walltime),
  environment: process.env,
})
// A full disk that takes no words: the exit says it.
process.stderr.on('error', () => {})
if (ending.message !== null) process.stderr.write(`floe runner: task ${task} ${ending.reason}: ${ending.message}\n`)
if (!ending.isRecorded) process.exit(NOT_RECORDED)
process.exit(ending.reason === 'failed' ? 1 : 0)
