import type { Command } from '../command.ts'
import { writeRows } from '../rows.ts'

export const query: Command<{ sql: string; csv?: boolean }> = {
  usage: 'query <sql>',
  text: 'Read-only SQL over jobs, files, plan, batches, attempts, results, requests, merged',
  examples: [
    ['floe query "select state, count(*) from jobs group by 1"', 'counts'],
    ['floe query "describe attempts"', 'the columns of a table'],
    ['floe query --csv "from merged" > merged.csv', 'as CSV; --json gives one object a line'],
  ],
  options: (yargs) =>
    yargs
      .positional('sql', { type: 'string', demandOption: true, describe: 'One SELECT, in the SQL of DuckDB' })
      .option('csv', { type: 'boolean', describe: 'As CSV' })
      .conflicts('csv', 'json'),
  async run({ sql, csv = false }, { terminal, campaign }) {
    const stream = await (await campaign()).query(sql)
    await writeRows(stream, { terminal, csv })
    return 0
  },
}
