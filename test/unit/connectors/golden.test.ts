import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ConnectorError } from '../../../connectors/connector.ts'
import type { Dialect } from '../../../connectors/dialect.ts'
import { pbs } from '../../../connectors/pbs/pbs.ts'
import { sge } from '../../../connectors/sge/sge.ts'
import { slurm } from '../../../connectors/slurm/slurm.ts'
import type { Output } from '../../../connectors/transport/transport.ts'

/*
 * What schedulers printed, and what floe read from it. To add one: drop `test/golden/<dialect>/<call>-<what>.txt`, run with
 * FLOE_GOLDEN=write, and read the `.json` that was written before it is committed. A file holds one block for each command:
 *
 *     $ the command
 *     --- stdout
 *     --- stderr
 *     --- exit status 0
 *
 * Lines that start with `##` before the first block are remarks; `## arrays 3[].host=10 …` and `## name NAME` are what the call was asked for.
 */

const GOLDEN = join(import.meta.dirname, '../../golden')
const DIALECTS: Readonly<Record<string, Dialect>> = { slurm: slurm(), pbs, sge: sge() }

interface Recorded {
  readonly arrays: ReadonlyMap<string, number>
  readonly name: string
  readonly outputs: readonly Output[]
}

function recorded(text: string): Recorded {
  const blocks = text.matchAll(/^--- stdout\n([\s\S]*?)^--- stderr\n([\s\S]*?)^--- exit status (\d+)$/gm)
  const outputs = [...blocks].map(([, stdout, stderr, exit]) => ({
    stdout: stdout!,
    stderr: stderr!,
    exit: Number(exit),
  }))
  const arrays = /^## arrays (.*)$/m.exec(text)?.[1]?.split(' ') ?? []
  return {
    arrays: new Map(arrays.map((pair) => [pair.replace(/=\d+$/, ''), Number(/=(\d+)$/.exec(pair)![1])])),
    name: /^## name (.*)$/m.exec(text)?.[1] ?? '',
    outputs,
  }
}

const CALLS: Readonly<Record<string, (dialect: Dialect, recorded: Recorded) => unknown>> = {
  status: (dialect, { outputs, arrays }) => dialect.parseStatus(outputs[0]!, arrays),
  find: (dialect, { outputs, name }) => dialect.parseFind(outputs, name),
  accounting: (dialect, { outputs }) => dialect.parseAccounting!(outputs[0]!),
  limits: (dialect, { outputs }) => dialect.parseLimits(outputs),
  refusal: (dialect, { outputs }) => outputs.map((output) => dialect.refusal(output)),
  gone: (dialect, { outputs }) => outputs.map((output) => dialect.isGone(output)),
}

function answerOf(dialect: Dialect, call: string, said: Recorded): unknown {
  try {
    return CALLS[call]!(dialect, said)
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error
    return { error: error.kind, message: error.message, hint: error.hint }
  }
}

/** A report a line. */
function written(answer: unknown): string {
  if (!Array.isArray(answer) || answer.length === 0) return `${JSON.stringify(answer, null, 2)}\n`
  return `[\n${answer.map((one) => JSON.stringify(one)).join(',\n')}\n]\n`
}

describe.each(Object.entries(DIALECTS))('%s reads', (name, dialect) => {
  // `real/` is what containers printed; its files named `other-…` answer no question of a dialect.
  const files = ['.', 'real', 'real/shipped']
    .filter((folder) => existsSync(join(GOLDEN, name, folder)))
    .flatMap((folder) => readdirSync(join(GOLDEN, name, folder)).map((file) => join(folder, file)))
    .filter((file) => file.endsWith('.txt') && !basename(file).startsWith('other-'))

  test.each(files)('%s', async (file) => {
    const path = join(GOLDEN, name, file)
    const call = basename(file).split('-')[0]!
    expect(Object.keys(CALLS)).toContain(call)
    const said = recorded(readFileSync(path, 'utf8'))
    expect(said.outputs.length).toBeGreaterThan(0)
    const answer = written(answerOf(dialect, call, said))
    const json = path.replace(/\.txt$/, '.json')
    if (process.env.FLOE_GOLDEN === 'write') writeFileSync(json, answer)
    expect(answer).toBe(readFileSync(json, 'utf8'))
  })
})
