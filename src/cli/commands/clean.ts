import { formatBytes, formatCounted } from '../../model/format.ts'
import type { Command } from '../command.ts'

export const clean: Command<{ all?: boolean }> = {
  usage: 'clean',
  text: 'Free what no live work needs, here and at sites: old scratch, cache, old parts of tables',
  examples: [
    ['floe clean', 'keeps the newest logs and sandboxes'],
    ['floe clean --all', 'logs and sandboxes of all ended jobs go too'],
  ],
  options: (yargs) => yargs.option('all', { type: 'boolean', describe: 'Also the newest logs and sandboxes' }),
  async run({ all = false }, { terminal, campaign }) {
    const report = await (await campaign()).clean({ all })
    if (terminal.json) await terminal.outJson(report)
    else {
      const { arrays, cached, parts, freed_bytes, sites } = report
      const what = [
        formatCounted(arrays, 'array'),
        formatCounted(cached, 'cached file'),
        formatCounted(parts, 'old part'),
      ]
      const places = sites
        .filter(({ site, kept }) => kept !== null || site !== 'local')
        .map(({ site, freed_bytes: bytes, kept }) => `  at ${site}: ${formatBytes(bytes)}${kept ? `; ${kept}` : ''}\n`)
      await terminal.out(`Freed ${formatBytes(freed_bytes)}: ${what.join(', ')}.\n${places.join('')}`)
    }
    return 0
  },
}
