import { formatBytes, formatCounted } from '../../model/format.ts'
import type { Command } from '../command.ts'

export const clean: Command<{ all?: boolean }> = {
  usage: 'clean',
  text: 'Free what no live work needs: old scratch, cache, old parts of tables',
  examples: [
    ['floe clean', 'keeps the newest logs and sandboxes'],
    ['floe clean --all', 'logs and sandboxes of all ended jobs go too'],
  ],
  options: (yargs) => yargs.option('all', { type: 'boolean', describe: 'Also the newest logs and sandboxes' }),
  async run({ all = false }, { terminal, campaign }) {
    const report = await (await campaign()).clean({ all })
    if (terminal.json) await terminal.outJson(report)
    else {
      const { arrays, cached, parts, freed_bytes } = report
      const what = [
        formatCounted(arrays, 'array'),
        formatCounted(cached, 'cached file'),
        formatCounted(parts, 'old part'),
      ]
      await terminal.out(`Freed ${formatBytes(freed_bytes)}: ${what.join(', ')}.\n`)
    }
    return 0
  },
}
