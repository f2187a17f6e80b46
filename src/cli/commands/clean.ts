import { formatBytes, formatCounted } from '../../model/format.ts'
import type { Command } from '../command.ts'
import { bytes } from '../values.ts'

interface CleanArgs {
  all?: boolean
  site: string | undefined
  keep: string | undefined
}

export const clean: Command<CleanArgs> = {
  usage: 'clean',
  text: 'Free what no live work needs, here and at sites: old scratch, cache, old parts of tables',
  examples: [
    ['floe clean', 'keeps the newest logs and sandboxes'],
    ['floe clean --site frost --keep 50G', 'the oldest goes until no more than that is left there'],
    ['floe clean --all', 'logs and sandboxes of all ended jobs go too'],
  ],
  options: (yargs) =>
    yargs
      .option('all', { type: 'boolean', describe: 'Also the newest logs and sandboxes', conflicts: 'keep' })
      .option('site', { type: 'string', requiresArg: true, describe: 'Only what lies at this site' })
      .option('keep', {
        type: 'string',
        requiresArg: true,
        describe: 'What may stay at a site, e.g. 50G; default: its `quota`, else the newest logs',
      }),
  async run({ all = false, site, keep }, { terminal, campaign }) {
    const report = await (await campaign()).clean({
      all,
      ...(site !== undefined && { site }),
      ...(keep !== undefined && { keepBytes: bytes('--keep', keep) }),
    })
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
