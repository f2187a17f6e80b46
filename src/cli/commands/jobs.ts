import type { Command } from '../command.ts'
import { writeRows } from '../rows.ts'
import { filterOf, filterOptions } from '../selection.ts'
import { positive } from '../values.ts'

/** What a person sees of a job in a line; --json and --csv have every column. */
const SHOWN = ['job_id', 'state', 'class', 'tries', 'source']
const PAGE = 50

export const jobs: Command<{
  state: string[] | undefined
  where: string | undefined
  csv?: boolean
  limit: number | undefined
}> = {
  usage: 'jobs',
  text: 'The table of jobs',
  examples: [
    ['floe jobs --state failed', 'what failed, and in which class'],
    ['floe jobs --where missing', 'what lacks an input'],
    ['floe jobs --csv > jobs.csv', 'all jobs with all columns'],
  ],
  options: (yargs) =>
    filterOptions(yargs)
      .option('csv', { type: 'boolean', describe: 'All columns as CSV' })
      .option('limit', { type: 'number', requiresArg: true, describe: `Rows at most; ${PAGE} on a screen` })
      .conflicts('csv', 'json'),
  async run({ csv = false, limit, ...filter }, { terminal, campaign }) {
    const selection = filterOf(filter)
    if (limit !== undefined) positive('--limit', limit)
    const isTable = !csv && !terminal.json
    const most = limit ?? (isTable && terminal.isInteractive ? PAGE : undefined)
    const opened = await campaign()
    // One more than is shown tells whether there is more.
    const asked = most === undefined || limit !== undefined ? most : most + 1
    const stream = opened.jobs({
      ...selection,
      ...(asked !== undefined && { limit: asked }),
      ...(isTable && { columns: SHOWN }),
    })
    const { more, rows } = await writeRows(stream, { terminal, csv, ...(most !== undefined && { most }) })
    if (more) terminal.note(`The first ${most}; --limit shows more, --state and --where choose.\n`)
    if (rows === 0 && isTable) terminal.note('No job fits.\n')
    return 0
  },
}
