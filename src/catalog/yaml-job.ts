import type { Fault, GivenJob } from './given.ts'
import { type Given, jobForm } from './job-form.ts'

/** What a piece of a YAML file says: a job or its fault, or the templates. */
export interface ReadPiece {
  readonly line: number
  readonly form?: GivenJob | Fault
  readonly templates?: Given
}

export const named = (line: number, name: string, value: Given): ReadPiece =>
  name === 'templates' ? { line, templates: value } : { line, form: jobForm(value, name) }
