import type { Machine } from './machine.ts'

/**
 * Stops runners on a machine and keeps them so: schedulers send CONT before they send TERM. What such a runner knew is in no record then. `of`
 * narrows it to tasks with these variables. Answers how many there were.
 */
export async function deafen(machine: Machine, of: Readonly<Record<string, string>> = {}): Promise<number> {
  const which = Object.entries(of).map(
    ([name, value]) => `grep -qz '^${name}=${value}$' $process/environ 2>/dev/null || continue`,
  )
  const stopped = await machine.ask(`for process in /proc/[0-9]*; do
      grep -qz -- '[-]-task' $process/cmdline 2>/dev/null || continue
      ${which.join('\n')}
      pid=\${process#/proc/}
      setsid sh -c "while kill -STOP $pid; do sleep 0.005; done" >/dev/null 2>&1 </dev/null &
      echo stopped
    done; :`)
  return stopped.split('\n').filter(Boolean).length
}
