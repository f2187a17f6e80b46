import type { Command } from '../command.ts'
import { openGauge } from '../gauge.ts'
import { renderRelay, renderRelayLine } from '../text/watch.ts'

interface RelayArgs {
  site: string
  once?: boolean
}

export const relay: Command<RelayArgs> = {
  usage: 'relay',
  text: "Carry a site's status events from its scratch to Kafka; runs on its login node",
  examples: [
    ['floe relay --site frost', 'until Ctrl-C; goes on where it was'],
    ['floe relay --site frost --once', 'what is there now, for cron'],
  ],
  interruptible: true,
  options: (yargs) =>
    yargs
      .option('site', { type: 'string', demandOption: true, requiresArg: true, describe: 'Name in sites.yaml' })
      .option('once', { type: 'boolean', describe: 'What is there now, then back' }),
  async run({ site, once = false }, { terminal, named, signal }) {
    const { relayEvents } = await import('../../floe.ts')
    const gauge = openGauge(terminal)
    const report = await relayEvents(site, {
      ...{ once, signal },
      ...(named !== undefined && { campaign: named }),
      onProgress: (said) =>
        gauge.show(
          () => [renderRelayLine(said).trimEnd()],
          () => renderRelayLine(said),
        ),
    }).finally(() => gauge.clear())
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderRelay(report))
    return signal.aborted && !once ? 130 : 0
  },
}
