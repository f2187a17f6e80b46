import type { Argv } from 'yargs'
import type { Selection } from '../floe.ts'
import { FloeError } from '../model/errors.ts'
import { states } from './values.ts'

export interface SelectionArgs {
  job: string[] | undefined
  state: string[] | undefined
  where: string | undefined
  all?: boolean
}

/** `--state` and `--where`, for verbs that list or choose jobs. */
export const filterOptions = (yargs: Argv) =>
  yargs
    .option('state', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'Jobs in this state; several with commas',
    })
    .option('where', {
      type: 'string',
      requiresArg: true,
      describe: "Jobs for which this SQL is true: \"labels['month'] = '1982-01'\"",
    })

/** Jobs by name, by filter, or all. */
export const selectionOptions = (yargs: Argv) =>
  filterOptions(yargs)
    .positional('job', { type: 'string', array: true, describe: 'Names of jobs' })
    .option('all', { type: 'boolean', describe: 'All jobs that it applies to' })

/** Throws USAGE when nothing says which jobs, or two things do. */
export function selectionOf(verb: string, { job = [], state, where, all = false }: SelectionArgs): Selection {
  const filtered = state !== undefined || where !== undefined
  if (job.length === 0 && !filtered && !all) {
    throw new FloeError('USAGE', `Nothing says which jobs to ${verb}.`, {
      hint: `Name jobs, or select them by --state, --where or --all: \`floe ${verb} --help\`.`,
    })
  }
  if (all && (filtered || job.length > 0)) {
    throw new FloeError('USAGE', '--all goes with no other selection.', { hint: `Leave out --all, or the rest.` })
  }
  return { ...filterOf({ state, where }), ...(job.length > 0 && { jobs: job }), ...(all && { all }) }
}

export function filterOf({ state, where }: Pick<SelectionArgs, 'state' | 'where'>): Selection {
  if (Array.isArray(where))
    throw new FloeError('USAGE', '--where was given twice.', { hint: 'Join the two with `and`.' })
  return { ...(state !== undefined && { state: states(state) }), ...(where !== undefined && { where }) }
}
