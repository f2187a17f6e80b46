import type { Argv } from '../dialect.ts'
import { linesOf, unanswered, unreadable } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { refusal } from './words.ts'

/** Ranges of an array come whole: by default they are cut after 64 bytes. */
export const WHOLE: Argv = ['env', 'SLURM_BITSTR_LEN=0']

export const textOf = ({ stdout, stderr }: Output): string => `${stderr}\n${stdout}`

/** Rows of columns, each closed by a bar, so that a row that was cut is noticed. */
export function rowsOf(command: string, output: Output, columns: number): string[][] {
  if (output.exit !== 0) throw unanswered(command, output, refusal(textOf(output)))
  return linesOf(output.stdout).map((line) => {
    const cells = line.split('|')
    const isWhole = cells.length === columns && (cells.at(-1) === '' || cells.at(-1) === '.')
    if (!isWhole) throw unreadable(command, `a line that is not one of its ${columns - 1} columns`, line)
    return cells
  })
}
