import { type ChildProcess, spawn } from 'node:child_process'
import type { Writable } from 'node:stream'

/** Kills the process groups that it was told of when its input ends, which is when the runner has gone. */
const TEXT = `trap '' HUP INT TERM
groups=
while read -r word pid; do
  if [ "$word" = + ]; then groups="$groups $pid"; continue; fi
  rest=
  for one in $groups; do [ "$one" = "$pid" ] || rest="$rest $one"; done
  groups=$rest
done
for one in $groups; do kill -KILL "-$one"; done`

/**
 * Ends the jobs of a runner that is killed. Shells of slots have sessions of their own, and a scheduler that knows a task by its session
 * (PBS without cgroups) would leave their jobs running on a node that is no longer theirs. Costs one `sh` a task.
 */
export class Guard {
  readonly #child: ChildProcess
  readonly #input: Writable

  constructor() {
    this.#child = spawn('/bin/sh', ['-c', TEXT], {
      ...{ detached: true, cwd: '/', env: {}, stdio: ['pipe', 'ignore', 'ignore'] },
    })
    this.#input = this.#child.stdin as Writable
    // Without it jobs run as well.
    this.#child.on('error', () => {})
    this.#input.on('error', () => {})
    this.#child.unref()
    ;(this.#input as Writable & { unref?(): void }).unref?.()
  }

  heed(group: number): void {
    if (group > 0) this.#input.write(`+ ${group}\n`)
  }

  forget(group: number): void {
    this.#input.write(`- ${group}\n`)
  }

  end(): void {
    this.#input.end()
  }
}
