/** What `{…}` in an argument may name. */
export interface ArgumentContext {
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

const PLACEHOLDER = /\{(\{(?:input|output|label):[^{}]*\})\}|\{(input|output|label):([^{}]*)\}/g

/**
 * An argument with its placeholders replaced: `{input:1}`, `{output:1}` (from 1), `{label:month}`; `{{input:1}}` is the text `{input:1}`.
 * All other braces stay as they are, so that awk programs and globs need no escapes. `undefined`: it names what the job has not.
 */
export function resolveArgument(text: string, context: ArgumentContext): string | undefined {
  if (!text.includes('{')) return text
  let known = true
  const resolved = text.replace(PLACEHOLDER, (all, escaped?: string, kind?: string, name?: string) => {
    if (escaped !== undefined) return escaped
    const value =
      kind === 'label'
        ? context.labels[name!]
        : /^[1-9]\d*$/.test(name!)
          ? (kind === 'input' ? context.inputs : context.outputs)[Number(name) - 1]
          : undefined
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

/** The labels that the arguments name, with their values. */
export function labelsNamed(
  given: readonly string[] | null,
  labels: Readonly<Record<string, string>>,
): Record<string, string> {
  const named: Record<string, string> = {}
  for (const argument of given ?? []) {
    if (!argument.includes('{label:')) continue
    for (const [, name] of argument.matchAll(/\{label:([^{}]+)\}/g)) named[name!] = labels[name!] ?? ''
  }
  return named
}
