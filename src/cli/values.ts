import { FloeError } from '../model/errors.ts'
import { nearest } from '../model/nearest.ts'
import { parseBytes, parseSeconds } from '../model/resources.ts'
import { JOB_STATES, type JobState } from '../model/verdict.ts'

/** Values of options as people type them; each throws USAGE that names the option. */

export function positive(option: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new FloeError('USAGE', `${option} takes a whole number of 1 or more.`)
}

export function natural(option: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new FloeError('USAGE', `${option} takes a whole number of 0 or more.`)
}

export function share(option: string, value: number): number {
  if (value >= 0 && value <= 1) return value
  throw new FloeError('USAGE', `${option} takes a share of 0 to 1, such as 0.05.`)
}

export function bytes(option: string, text: string): number {
  const parsed = parseBytes(text)
  if (parsed !== undefined) return parsed
  throw new FloeError('USAGE', `${option} takes a size such as 500MB, 50G or 1.5GiB, not ${text}.`)
}

export function seconds(option: string, text: string): number {
  const parsed = parseSeconds(text)
  if (parsed !== undefined && parsed > 0) return parsed
  throw new FloeError('USAGE', `${option} takes a duration such as 600, 10m or 1h30m, not ${text}.`)
}

/** `failed`, `failed,lost`, or the option given several times. */
export function states(given: readonly string[]): JobState[] {
  return given
    .flatMap((text) => text.split(','))
    .map((text) => {
      const name = text.trim()
      if (JOB_STATES.includes(name as JobState)) return name as JobState
      const meant = nearest(name, JOB_STATES)
      throw new FloeError('USAGE', `There is no state ${name}.`, {
        hint: `${meant === undefined ? '' : `Did you mean ${meant}? `}States are ${JOB_STATES.join(', ')}.`,
      })
    })
}
