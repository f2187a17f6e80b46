/** What `{…}` in an argument may name. */
export interface ArgumentContext {
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

const PLACEHOLDER = /\{\{|\}\}|\{(input|output):(\d+)\}|\{label:([^{}]+)\}/g

/**
 * An argument with its placeholders replaced: `{input:1}`, `{output:1}` (from 1), `{label:month}`; `{{` and `}}` are braces.
 * Other braces stay as they are, so that awk programs and globs need no escapes. `undefined`: it names what the job has not.
 */
export function resolveArgument(text: string, context: ArgumentContext): string | undefined {
  if (!text.includes('{') && !text.includes('}}')) return text
  let known = true
  const resolved = text.replace(PLACEHOLDER, (all, kind?: 'input' | 'output', number?: string, label?: string) => {
    if (all === '{{') return '{'
    if (all === '}}') return '}'
    const value =
      kind === undefined ? context.labels[label!] : (kind === 'input' ? context.inputs : context.outputs)[Number(number) - 1]
    if (value === undefined) known = false
    return value ?? all
  })
  return known ? resolved : undefined
}

/** A job's arguments; without any given: its inputs, then its outputs. */
export function resolveArguments(given: readonly string[] | null, context: ArgumentContext): string[] | undefined {
  if (given === null) return [...context.inputs, ...context.outputs]
  const resolved: string[] = []
  for (const argument of given) {
    const value = resolveArgument(argument, context)
    if (value === undefined) return undefined
    resolved.push(value)
  }
  return resolved
}
