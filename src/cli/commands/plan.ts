import type { Argv } from 'yargs'
import type { Command } from '../command.ts'
import { renderPlan } from '../text/plan.ts'
import { natural, positive, seconds } from '../values.ts'

export interface PlanArgs {
  site: string[] | undefined
  jobsPerBatch: number | undefined
  batchSeconds: string | undefined
  scouts: number | undefined
}

/** Options that `plan` and `run` share. */
export const planOptions = (yargs: Argv) =>
  yargs
    .option('site', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'Where to run; given again: there too, and the jobs are shared out. Default: `site` of floe.yaml',
    })
    .option('jobs-per-batch', { type: 'number', requiresArg: true, describe: 'Most jobs of a batch' })
    .option('batch-seconds', {
      type: 'string',
      requiresArg: true,
      describe: 'Wanted length of a batch: 600, 10m, 1h',
    })
    .option('scouts', {
      type: 'number',
      requiresArg: true,
      describe: 'Jobs that go first, to be measured, of each kind that is not known; 0: none',
    })

export const planWishes = ({ site, jobsPerBatch, batchSeconds, scouts }: PlanArgs) => ({
  ...(site !== undefined && { site }),
  ...(jobsPerBatch !== undefined && { jobsPerBatch: positive('--jobs-per-batch', jobsPerBatch) }),
  ...(batchSeconds !== undefined && { batchSeconds: seconds('--batch-seconds', batchSeconds) }),
  ...(scouts !== undefined && { scouts: natural('--scouts', scouts) }),
})

export const plan: Command<PlanArgs> = {
  usage: 'plan',
  text: 'Group the jobs by their inputs and show what running them costs',
  examples: [
    ['floe plan', 'what would be run, in which batches; nothing is started'],
    ['floe plan --site frost --site rime', 'what each of two sites would take'],
    ['floe plan --jobs-per-batch 200', 'in smaller batches; the next run uses this plan'],
  ],
  options: planOptions,
  async run(args, { terminal, campaign, signal }) {
    const wishes = planWishes(args)
    const report = await (await campaign()).plan({ ...wishes, signal })
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderPlan(report))
    return report.missing > 0 ? 3 : 0
  },
}
