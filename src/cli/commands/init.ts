import type { Command } from '../command.ts'
import { renderInit } from '../text/init.ts'

export const init: Command<{ dir: string | undefined; fork?: boolean; adopt?: boolean }> = {
  usage: 'init [dir]',
  text: 'Make a campaign, with a commented floe.yaml',
  examples: [
    ['floe init winds', 'a campaign in the new directory winds'],
    ['floe init', 'in this directory'],
    ['floe init --fork winds-copy', 'make a copy (cp -r) a campaign of its own'],
    ['floe init --adopt /data/winds', 'say that a campaign was moved there'],
  ],
  options: (yargs) =>
    yargs
      .positional('dir', { type: 'string', describe: 'Directory of the campaign; default: this one' })
      .option('fork', { type: 'boolean', describe: 'Give a copied campaign an id of its own' })
      .option('adopt', { type: 'boolean', describe: 'Say that a campaign was moved here' })
      .conflicts('fork', 'adopt'),
  async run({ dir, fork, adopt }, { terminal, named }) {
    const { adoptCampaign, forkCampaign, initCampaign } = await import('../../floe.ts')
    const directory = dir ?? named ?? '.'
    const report = await (fork ? forkCampaign : adopt ? adoptCampaign : initCampaign)(directory)
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderInit(report))
    return 0
  },
}
