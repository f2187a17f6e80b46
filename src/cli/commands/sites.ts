import type { Command } from '../command.ts'
import { renderSites } from '../text/sites.ts'

export const sites: Command<unknown> = {
  usage: 'sites',
  text: 'The sites that sites.yaml names, and this machine',
  examples: [['floe sites', 'also outside of a campaign; `floe doctor SITE` looks at one']],
  async run(_, { terminal }) {
    const { listSites } = await import('../../floe.ts')
    const report = await listSites()
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderSites(report))
    return 0
  },
}
