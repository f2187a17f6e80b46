import type { Command } from '../command.ts'
import { positive } from '../values.ts'

interface LogsArgs {
  job: string
  follow?: boolean
  try: number | undefined
  stream: 'stdout' | 'stderr' | undefined
}

export const logs: Command<LogsArgs> = {
  usage: 'logs <job>',
  text: 'What a job wrote to stdout and stderr, also while it runs',
  examples: [
    ['floe logs job17', 'its newest try'],
    ['floe logs job17 -f', 'and what it writes from now on'],
    ['floe logs job17 --try 1 --stream stderr', 'an earlier one'],
  ],
  interruptible: true,
  options: (yargs) =>
    yargs
      .positional('job', { type: 'string', demandOption: true, describe: 'Name of the job' })
      .option('follow', { alias: 'f', type: 'boolean', describe: 'Wait for what it writes' })
      .option('try', { type: 'number', requiresArg: true, describe: 'The how-manieth try; default: the newest' })
      .option('stream', {
        choices: ['stdout', 'stderr'] as const,
        requiresArg: true,
        describe: 'Only this one',
      }),
  async run({ job, follow = false, stream, try: nth }, { terminal, campaign, signal }) {
    const opened = await campaign()
    const wishes = {
      follow,
      signal,
      ...(nth !== undefined && { try: positive('--try', nth) }),
      ...(stream !== undefined && { stream }),
    }
    for await (const piece of opened.logs(job, wishes)) {
      if (terminal.json) await terminal.outJson({ stream: piece.stream, text: piece.text.toString() })
      else if (piece.stream === 'stdout' || stream !== undefined) await terminal.out(piece.text)
      else process.stderr.write(piece.text)
    }
    return signal.aborted ? 130 : 0
  },
}
