import { basename } from 'node:path'
import type { Command } from '../command.ts'
import { renderStatus } from '../text/status.ts'

export const status: Command<unknown> = {
  usage: 'status',
  text: 'Counts of jobs by state',
  examples: [['floe status --json', 'the same for programs']],
  async run(_, { terminal, campaign }) {
    const opened = await campaign()
    const report = await opened.status()
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderStatus(report, { name: basename(opened.root) }))
    return 0
  },
}
