import type { Command } from '../command.ts'
import { renderShow } from '../text/show.ts'

export const show: Command<{ job: string }> = {
  usage: 'show <job>',
  text: 'All evidence on one job, and the rule that decided',
  examples: [['floe show 1982-01-barents', 'its inputs, program, tries and why it ended as it did']],
  options: (yargs) => yargs.positional('job', { type: 'string', demandOption: true, describe: 'Name of the job' }),
  async run({ job }, { terminal, campaign }) {
    const report = await (await campaign()).show(job)
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderShow(report))
    return 0
  },
}
