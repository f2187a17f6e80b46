import type { FloeError } from '../../model/errors.ts'
import type { Style } from './style.ts'

/** What was tried, what came back, what to do. */
export function renderError(error: FloeError, style: Style): string {
  const [first, ...rest] = error.message.trimEnd().split('\n')
  const details = (typeof error.details === 'object' && error.details !== null ? error.details : {}) as Record<
    string,
    unknown
  >
  const lines = [`${style.red('floe:')} ${first}`, ...rest.map((line) => `  ${line}`)]
  for (const part of ['tried', 'answered'] as const) {
    if (typeof details[part] === 'string') lines.push(`  ${part.padEnd(8)}  ${indented(details[part])}`)
  }
  if (error.hint) lines.push(`  ${'do'.padEnd(8)}  ${indented(error.hint)}`)
  return `${lines.join('\n')}\n`
}

const indented = (text: string): string => text.trimEnd().replaceAll('\n', '\n            ')

export const errorJson = ({ code, message, hint, details }: FloeError): object => ({ code, message, hint, details })
