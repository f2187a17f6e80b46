import { FloeError } from '../model/errors.ts'

/** The jobs that a fault is about: how many, and one of them. */
export interface Concerned {
  readonly jobs: number
  readonly first: string
}

/** The same error, saying whom it concerns as well; what is no FloeError stays as it is. */
export function nameJobs(cause: unknown, { jobs, first }: Concerned): unknown {
  if (!(cause instanceof FloeError)) return cause
  const told = jobs === 1 ? `Job ${first} needs it.` : `${jobs.toLocaleString('en')} jobs need it, among them ${first}.`
  const details = { ...(cause.details as object), jobs, job: first }
  return new FloeError(cause.code, `${cause.message} ${told}`, { hint: cause.hint, details, cause })
}
