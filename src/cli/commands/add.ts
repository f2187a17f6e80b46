import { formatCounted } from '../../model/format.ts'
import type { Command } from '../command.ts'
import { openGauge } from '../gauge.ts'
import { renderAdd } from '../text/add.ts'

export const add: Command<{ file: string[] }> = {
  usage: 'add <file..>',
  text: 'Put job files into the catalog',
  examples: [
    ['floe add jobs.yaml', 'also .json, .ndjson, .csv, .tsv, .parquet, .xlsx'],
    ['floe add 1982.yaml 1983.yaml', 'several; adding a file again changes nothing'],
  ],
  interruptible: true,
  options: (yargs) =>
    yargs.positional('file', { type: 'string', array: true, demandOption: true, describe: 'Job files' }),
  async run({ file }, { terminal, campaign, signal }) {
    const opened = await campaign()
    const gauge = openGauge(terminal)
    const report = await opened
      .add(file, {
        signal,
        onProgress: ({ path: name, jobs }) => gauge.show(() => [`${name}: ${formatCounted(jobs, 'job')} read`]),
      })
      .finally(() => gauge.clear())
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderAdd(report))
    return report.rejected > 0 ? 3 : 0
  },
}
