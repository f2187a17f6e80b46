import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ArraySpec } from '../../connectors/connector.ts'
import type { FakeScheduler } from './scheduler/fake-scheduler.ts'
import { type ShellOptions, shellTransport } from './shell-transport.ts'

/* Submissions that are cut on purpose, and the count of what became of them. */

/** An array whose tasks write that they ran, and nothing else. */
export function countedArray(root: string, name: string, count = 2): ArraySpec {
  const directory = join(root, name)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'task.sh'), `echo "$2" >>'${directory}/ran'\n`)
  return {
    ...{ name, directory, count, command: ['/bin/sh', join(directory, 'task.sh')], cpus: 1 },
    ...{ memoryBytes: null, walltimeSec: null, gpus: 0, queue: null, account: null },
  }
}

export interface Tally {
  /** `array index` of tasks that never ran. */
  readonly lost: string[]
  /** Of tasks that ran more than once. */
  readonly doubled: string[]
  /** Arrays that the scheduler was given more than once. */
  readonly resent: string[]
}

/** Counted by what the tasks themselves wrote, and by what the scheduler was given. */
export function tally(fake: FakeScheduler, arrays: readonly ArraySpec[]): Tally {
  const found: Tally = { lost: [], doubled: [], resent: [] }
  for (const { name, directory, count } of arrays) {
    const path = join(directory, 'ran')
    const ran = existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n').map(Number) : []
    for (let index = 0; index < count; index++) {
      const times = ran.filter((one) => one === index).length
      if (times === 0) found.lost.push(`${name} ${index}`)
      if (times > 1) found.doubled.push(`${name} ${index}`)
    }
    if (fake.known.filter((job) => job.name === name).length > 1) found.resent.push(name)
  }
  return found
}

/** Waits until no task waits or runs. */
export async function untilIdle(fake: FakeScheduler): Promise<void> {
  for (let tries = 0; tries < 1200 && fake.queued > 0; tries++) await new Promise((resolve) => setTimeout(resolve, 10))
}

/** A place to stop at: before a command, counted from 1, of a script, counted from 0. */
export interface CutPoint {
  readonly script: number
  readonly command: number
}

/** Bash kills itself at the point. */
export const stopAt = (point: CutPoint, options: ShellOptions): ReturnType<typeof shellTransport> =>
  shellTransport({
    ...options,
    shell: '/bin/bash',
    change: (script, at) => {
      const changed = options.change?.(script, at) ?? script
      return at === point.script ? tracing(`[ "$floe_n" != ${point.command} ] || kill -9 $$`, changed) : changed
    },
  })

/** All points of what `act` makes bash do, that after the last command too. Without `all` those alone from where the lock is held. */
export async function cutPoints(
  act: (transport: ReturnType<typeof shellTransport>) => Promise<unknown>,
  { directory, all, ...options }: ShellOptions & { directory: string; all: boolean },
): Promise<CutPoint[]> {
  const file = (script: number): string => join(directory, `commands.${script}`)
  const change = (script: string, at: number): string =>
    tracing(`printf "%s\\n" "\${BASH_COMMAND:0:11}" >>"${file(at)}"`, options.change?.(script, at) ?? script)
  const transport = shellTransport({ ...options, shell: '/bin/bash', change })
  await act(transport)
  return transport.scripts.flatMap((_, script) => {
    const commands = readFileSync(file(script), 'utf8').trimEnd().split('\n')
    rmSync(file(script))
    const from = all ? 0 : commands.indexOf('floe_owner=')
    return Array.from({ length: commands.length + 1 - from }, (__, at) => ({ script, command: from + at + 1 }))
  })
}

const tracing = (action: string, script: string): string =>
  `floe_n=0; set -T; trap 'floe_n=$((floe_n + 1)); ${action}' DEBUG\n${script}`
