import type { Command } from '../command.ts'
import { renderTry } from '../text/try.ts'

export const tryOne: Command<{ job: string }> = {
  usage: 'try <job>',
  text: 'Run one job here, in a sandbox that stays, with its output on the terminal',
  examples: [['floe try 1982-01-barents', 'nothing is published; outputs stay beside the sandbox']],
  interruptible: true,
  options: (yargs) => yargs.positional('job', { type: 'string', demandOption: true, describe: 'Name of the job' }),
  async run({ job }, { terminal, campaign, signal }) {
    const report = await (await campaign()).try(job, {
      signal,
      // With --json stdout is for the document alone.
      write: (stream, text) => {
        ;(stream === 'stdout' && !terminal.json ? process.stdout : process.stderr).write(text)
      },
    })
    if (terminal.json) await terminal.outJson(report)
    else terminal.note(renderTry(report))
    if (signal.aborted) return 130
    return report.ended.verdict === 'succeeded' ? 0 : 3
  },
}
