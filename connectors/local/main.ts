import { readFileSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import type { ArraySpec, TaskReport } from '../connector.ts'
import { indicesBelow, readRanges, runsOf } from '../scheduler-text.ts'
import { openLocalConnector } from './local.ts'
import { idOf, Queue } from './queue.ts'
import { schedule } from './scheduler.ts'
import { VERBS } from './verbs.ts'

/*
 * The local scheduler as a program of one file, with its commands: what dialect.ts asks on a machine that has no other. Without arguments of
 * that kind it says what it takes, exit 2.
 */

const print = (text: string): void => void process.stdout.write(`${text}\n`)

/** Neighbours in the same state are one line. */
function printReports(reports: readonly TaskReport[]): void {
  const groups = new Map<string, number[]>()
  for (const { id, index, state, reason } of reports) {
    const key = `${id}\0${state} ${JSON.stringify(reason)}`
    groups.set(key, [...(groups.get(key) ?? []), index])
  }
  for (const [key, indices] of groups) {
    const [id, state] = key.split('\0')
    for (const [first, last] of runsOf(indices)) print(`${id} ${first}-${last} ${state}`)
  }
}

function indicesOf(text: string | undefined): number[] | undefined {
  if (text === undefined) return undefined
  return [...indicesBelow(Number.POSITIVE_INFINITY, readRanges(text) ?? { ranges: [], cutAt: null })]
}

function arrayOf([name = '', directory = '', count, cpus]: readonly string[]): ArraySpec {
  const none = { memoryBytes: null, walltimeSec: null, gpus: 0, queue: null, account: null }
  return { name, directory, count: Number(count), cpus: Number(cpus), command: [], ...none }
}

async function main([verb = '', directory, slots, ...words]: readonly string[]): Promise<void> {
  if (!Object.hasOwn(VERBS, verb) || directory === undefined || slots === undefined) {
    const lines = Object.entries(VERBS).map(([name, takes]) => `  ${name} QUEUE SLOTS ${takes}`)
    process.stderr.write(`usage: node local-scheduler.js\n${lines.join('\n')}\n`)
    process.exitCode = 2
    return
  }
  if (verb === 'schedule') {
    schedule(directory)
    return
  }
  const connector = openLocalConnector({
    ...{ directory, slots: Number(slots) || availableParallelism() },
    ...{ node: process.execPath, schedulerFile: process.argv[1]! },
  })
  if (verb === 'submit') print(await connector.submitScript(arrayOf(words), readFileSync(0, 'utf8')))
  else if (verb === 'status') printReports(await connector.status(new Map(words.map((id) => [id, 0]))))
  else if (verb === 'cancel') await connector.cancel(words[0]!, indicesOf(words[1]))
  else if (verb === 'find') {
    const id = idOf(words[0]!)
    if (new Queue(directory).find(id) !== undefined) print(id)
  } else print(`${process.versions.node} ${Number(slots) || availableParallelism()} ${totalmem()}`)
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
