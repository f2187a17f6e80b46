import type { NativeId } from '../connector.ts'
import type { Argv, TaskEnding } from '../dialect.ts'
import { bytesOf, indicesBelow, readRanges, unknownState, unreadable, utcSecondsOf } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { rowsOf, textOf, WHOLE } from './rows.ts'
import { CAUSES, STATES } from './words.ts'

export const isWithoutAccounts = (output: Output): boolean =>
  output.exit !== 0 && /accounting storage is disabled|not found/i.test(textOf(output))

/** With steps, for the memory is theirs. With -j there is no limit of the time that may be asked for. */
export function accounting(ids: readonly NativeId[]): Argv {
  const format = '--format=JobID,State,ExitCode,NodeList,Start,End,MaxRSS'
  return [...WHOLE, 'sacct', '-n', '-p', '-S', 'now-30days', '-j', ids.join(','), format]
}

export function parseAccounting(output: Output): readonly TaskEnding[] {
  if (isWithoutAccounts(output)) return []
  const endings = new Map<string, TaskEnding>()
  const steps: (readonly string[])[] = []
  for (const row of rowsOf('sacct', output, 8)) {
    const [, id, task, step] = /^(\d+)_(\d+|\[[^\]]*\])(\..+)?$/.exec(row[0]!) ?? []
    if (id === undefined || task === undefined) continue
    if (step !== undefined) steps.push([`${id}_${task}`, ...row.slice(1)])
    else for (const ending of endingsOf(id, task, row)) endings.set(`${id}_${ending.index}`, ending)
  }
  for (const [key = '', word = '', code = '', , , , memory = ''] of steps) {
    const ending = endings.get(key)
    if (!ending) continue
    const memoryMaxBytes = Math.max(bytesOf(memory) ?? 0, ending.memoryMaxBytes ?? 0) || null
    // Of a task killed for its memory sometimes only a step says so, by its state or by the code 0:125.
    const isMemory = ending.cause === 'failed' && (word === 'OUT_OF_MEMORY' || code === '0:125')
    endings.set(key, {
      ...ending,
      memoryMaxBytes,
      ...(isMemory ? { cause: 'memory' as const, word: 'OUT_OF_MEMORY' } : {}),
    })
  }
  return [...endings.values()]
}

/** One for a task; one for each index of a range that was cancelled before it started; none while it is not over. */
function endingsOf(id: NativeId, task: string, row: readonly string[]): readonly TaskEnding[] {
  const [, state = '', code = '', nodes = '', start = '', end = ''] = row
  // "CANCELLED by 1000".
  const word = state.split(' ')[0]!
  if (STATES[word] === undefined) throw unknownState(word, 'Slurm', 'STATES in connectors/slurm/words.ts')
  const cause = CAUSES[word]
  if (cause === undefined) return []
  const [exit = Number.NaN, signal = 0] = code.split(':').map(Number)
  // A task that Slurm ended may still say 0:0, and 125 stands for memory: the state outranks the code.
  const hasExit = !Number.isNaN(exit) && signal === 0 && (exit > 0 || cause === 'succeeded' || cause === 'failed')
  const ending = {
    id,
    word,
    cause,
    exit: hasExit ? exit : null,
    signal: signal > 0 && signal <= 64 ? signal : null,
    node: /^(None|$)/.test(nodes) ? null : nodes,
    startedAt: utcSecondsOf(start),
    endedAt: utcSecondsOf(end),
    memoryMaxBytes: null,
  }
  const ranges = readRanges(task.replace(/^\[|\]$/g, '').replace(/%\d+$/, ''))
  if (!ranges) throw unreadable('sacct', 'a range of tasks that floe cannot read', task)
  // What is not listed is not guessed.
  return [...indicesBelow(Number.POSITIVE_INFINITY, { ...ranges, cutAt: null })].map((index) => ({ ...ending, index }))
}
