import type { ResultsFormat } from '../../floe.ts'
import { formatCounted } from '../../model/format.ts'
import type { Command } from '../command.ts'

const FORMATS: readonly ResultsFormat[] = ['csv', 'tsv', 'ndjson', 'parquet', 'arrow', 'arrows']

export const results: Command<{ output: string | undefined; format: ResultsFormat | undefined }> = {
  usage: 'results',
  text: 'The merged table of the outputs as CSV, Parquet or Arrow',
  examples: [
    ['floe results', 'CSV on standard output'],
    ['floe results -o winds.parquet', 'a file; also .csv, .tsv, .ndjson (each with .gz), .arrow, .arrows'],
  ],
  options: (yargs) =>
    yargs
      .option('output', {
        alias: 'o',
        type: 'string',
        requiresArg: true,
        describe: 'File to write; its suffix says how',
      })
      .option('format', { choices: FORMATS, requiresArg: true, describe: 'Whatever the suffix says' }),
  async run({ output, format }, { terminal, campaign, signal }) {
    const opened = await campaign()
    if (output === undefined) {
      for await (const bytes of opened.resultBytes(format ?? (terminal.json ? 'ndjson' : 'csv')))
        await terminal.out(bytes)
      return 0
    }
    const report = await opened.results({ file: output, signal, ...(format !== undefined && { format }) })
    if (terminal.json) await terminal.outJson(report)
    else
      await terminal.out(
        `${output}: ${formatCounted(report.rows, 'row')}, ${formatCounted(report.columns.length, 'column')}\n`,
      )
    return 0
  },
}
