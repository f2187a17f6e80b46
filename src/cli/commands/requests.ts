import type { Command } from '../command.ts'
import { type SelectionArgs, selectionOf, selectionOptions } from '../selection.ts'
import { renderRequest } from '../text/request.ts'

type Action = 'retry' | 'cancel' | 'hold' | 'release' | 'remove'
type RequestArgs = SelectionArgs & { why: string | undefined }

/** Verbs that ask something for jobs; a run that is going on heeds it, the next one does as well. */
const requests = (action: Action, text: string, examples: Command<RequestArgs>['examples']): Command<RequestArgs> => ({
  usage: `${action} [job..]`,
  text,
  examples,
  options: (yargs) =>
    selectionOptions(yargs).option('why', {
      type: 'string',
      requiresArg: true,
      describe: 'Reason, kept with the request',
    }),
  async run({ why, ...args }, { terminal, campaign }) {
    const selection = selectionOf(action, args)
    const report = await (await campaign())[action](selection, why)
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderRequest(report, { all: selection.all ?? false }))
    return 0
  },
})

export const retry = requests('retry', 'Run jobs again that failed, were cancelled or lost', [
  ['floe retry job17', 'one job'],
  ['floe retry --state failed --where "class = \'memory\'"', 'all that needed more memory'],
])
export const cancel = requests('cancel', 'Stop jobs and run them no more', [
  ['floe cancel --state queued', 'all that did not start yet'],
  ['floe cancel --where "priority < 0"', 'by their columns: floe query "describe jobs"'],
])
export const hold = requests('hold', 'Keep jobs from starting until they are released', [
  ["floe hold --where \"labels['year'] = '1992'\"", 'a whole year'],
])
export const release = requests('release', 'Let jobs start that were held', [['floe release --all', 'all of them']])
export const remove = requests('remove', 'Withdraw jobs from the catalog; their results stay in the tables', [
  ['floe remove job17 job18', 'two jobs'],
])
