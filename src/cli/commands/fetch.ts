import { formatBytes, formatCount, formatCounted } from '../../model/format.ts'
import type { Command } from '../command.ts'
import { openGauge } from '../gauge.ts'
import { type SelectionArgs, selectionOf, selectionOptions } from '../selection.ts'
import { renderFetch } from '../text/fetch.ts'

export const fetch: Command<SelectionArgs & { site: string | undefined }> = {
  usage: 'fetch [job..]',
  text: "Bring output files from sites to the campaign's outputs",
  examples: [
    ['floe fetch', 'all that lies at sites and is not here'],
    ["floe fetch --where \"labels['year'] = '1992'\"", 'of some jobs'],
    ['floe fetch --site frost job17', 'of one job, from one site'],
  ],
  interruptible: true,
  options: (yargs) =>
    selectionOptions(yargs).option('site', {
      type: 'string',
      requiresArg: true,
      describe: 'Only what lies at this site',
    }),
  async run({ site, ...args }, { terminal, campaign, signal }) {
    const { job = [], state, where } = args
    const isChosen = job.length > 0 || state !== undefined || where !== undefined || args.all === true
    const selection = isChosen ? selectionOf('fetch', args) : { all: true }
    const opened = await campaign()
    const gauge = openGauge(terminal)
    const report = await opened
      .fetch(selection, {
        signal,
        ...(site !== undefined && { site }),
        onProgress: ({ site: from, done, total, bytes }) =>
          gauge.show(() => [
            `${from}  ${formatCount(done)} of ${formatCounted(total, 'output')}, ${formatBytes(bytes)}`,
          ]),
      })
      .finally(() => gauge.clear())
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderFetch(report, { isElsewhere: opened.root.includes('://') }))
    return report.missing > 0 ? 3 : 0
  },
}
