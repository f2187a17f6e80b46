import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { FloeError } from '../../src/model/errors.ts'
import { systemClock } from '../../src/ports/clock.ts'
import { openTables, type Tables } from '../../src/ports/tables/tables.ts'
import { rowsOf } from '../conformance/rows.ts'

/*
 * A process that writes to a campaign, for tests:
 *   delta-writer ROOT many FROM COUNT STEPS   commits of one attempt each by turns of append, rewrite and maintain, as STEPS says (a, r, m)
 *   delta-writer ROOT big ROWS                one commit of so many rows; prints the error as JSON
 *   delta-writer ROOT killed STEP             one rewrite, killed by SIGKILL before the STEP-th change on disk
 */
const [root, mode, ...rest] = process.argv.slice(2) as [string, string, ...string[]]

function attempts(from: number, to: number): string {
  return rowsOf(
    'attempts',
    { job_id: `'job' || i || sha256(i::VARCHAR)`, job_key: 'i', try: '1' },
    `FROM range(${from}, ${to}) r(i)`,
  )
}

function open(): Promise<Tables> {
  return openTables({ root, cache: `${root}/.floe`, clock: systemClock, threads: 1 })
}

async function many(from: number, count: number, steps: string): Promise<void> {
  const tables = await open()
  const written: number[] = []
  let conflicts = 0
  for (let i = 0; i < count; i++) {
    const step = steps[i % steps.length]
    const key = from + i
    const txn = { appId: `key-${key}`, version: 1 }
    if (step === 'm') await tables.maintain('attempts')
    else if (step === 'a') {
      // Twice, as after a crash that did not learn of its success.
      for (let twice = 0; twice < 2; twice++)
        await tables.commit('attempts', { select: attempts(key, key + 1), operation: 'a', txn })
      written.push(key)
    } else if (await rewritten(tables, { key, txn })) written.push(key)
    else conflicts += 1
  }
  await tables.close()
  process.stdout.write(JSON.stringify({ written, conflicts }))
}

/** Rewrites the parts that are there now with one row more; false on a conflict. */
async function rewritten(
  tables: Tables,
  { key, txn }: { key: number; txn: { appId: string; version: number } },
): Promise<boolean> {
  const { parts } = await tables.view('attempts')
  try {
    const select = `SELECT * FROM attempts UNION ALL BY NAME ${attempts(key, key + 1)}`
    await tables.commit('attempts', { select, remove: parts, operation: 'r', txn })
    return true
  } catch (cause) {
    if (cause instanceof FloeError && cause.code === 'TABLE_CONFLICT') return false
    throw cause
  }
}

async function big(rows: number): Promise<void> {
  const tables = await open()
  try {
    await tables.commit('attempts', { select: attempts(100, 100 + rows), operation: 'big' })
    process.stdout.write(JSON.stringify({ code: null }))
  } catch (cause) {
    const { code, message } = cause as FloeError
    process.stdout.write(JSON.stringify({ code, message }))
  }
  await tables.close()
}

/** Dies before the step-th call of Node's that changes something on disk. */
function dieAt(step: number): void {
  const calls = fs as unknown as Record<string, (...given: unknown[]) => unknown>
  let at = 0
  for (const name of ['open', 'link', 'rename', 'rm', 'mkdir', 'chmod']) {
    const act = calls[name]!
    calls[name] = (...given) => {
      if (at++ === step) process.kill(process.pid, 'SIGKILL')
      return act(...given)
    }
  }
  syncBuiltinESMExports()
}

async function killed(step: number): Promise<void> {
  const tables = await open()
  dieAt(step)
  const { parts } = await tables.view('attempts')
  const select = `SELECT * FROM attempts UNION ALL BY NAME ${attempts(1000, 1001)}`
  await tables.commit('attempts', { select, remove: parts, operation: 'r', txn: { appId: 'killed', version: 1 } })
  await tables.close()
  process.stdout.write('done')
}

if (mode === 'many') await many(Number(rest[0]), Number(rest[1]), rest[2]!)
else if (mode === 'big') await big(Number(rest[0]))
else await killed(Number(rest[0]))
