import type { Command } from '../command.ts'
import { openGauge } from '../gauge.ts'
import { renderBoard, renderBoardLine, renderSkipped, renderWaiting } from '../text/watch.ts'

const LET_GO_MS = 1000

interface WatchArgs {
  from: 'committed' | 'earliest' | 'latest'
  group: string | undefined
}

export const watch: Command<WatchArgs> = {
  usage: 'watch',
  text: 'Follow status events that come over Kafka; of all campaigns, or of that of -C',
  examples: [
    ['floe watch', 'a board that goes on where it was when it was last looked at'],
    ['floe watch --from earliest', 'all that Kafka keeps'],
    ['floe watch -C winds --json', 'the events of one campaign, one a line, each once'],
  ],
  interruptible: true,
  options: (yargs) =>
    yargs
      .option('from', {
        choices: ['committed', 'earliest', 'latest'] as const,
        default: 'committed' as const,
        requiresArg: true,
        describe: 'Where to begin; committed: where this group was, a new one at the end',
      })
      .option('group', { type: 'string', requiresArg: true, describe: 'Group of readers that share the events' }),
  async run({ from, group }, { terminal, named, signal }) {
    const { watchEvents } = await import('../../floe.ts')
    const gauge = openGauge(terminal)
    const wish = {
      from,
      signal,
      ...(group !== undefined && { group }),
      ...(named !== undefined && { campaign: named }),
    }
    let skipped = { newer: 0, foreign: 0 }
    let said: string | null = null
    try {
      for await (const news of watchEvents(wish)) {
        skipped = news.skipped
        const { waiting } = news
        if (waiting !== said && !(terminal.isScreen && !terminal.json)) terminal.note(renderWaiting(waiting))
        said = waiting
        if (terminal.json) {
          if (news.events.length > 0) await terminal.out(`${news.events.map(({ text }) => text).join('\n')}\n`)
        } else
          gauge.show(
            () => renderBoard(news.board, { columns: terminal.columns, skipped, waiting }),
            () => renderBoardLine(news.board),
          )
      }
    } finally {
      // The board stays on the screen.
      if (terminal.json) gauge.clear()
    }
    terminal.note(renderSkipped(skipped))
    // A reader whose broker is away does not let go, and would keep the process.
    setTimeout(() => process.exit(), LET_GO_MS).unref()
    return signal.aborted ? 130 : 0
  },
}
