/** What words for sbatch say of an option, in order; of most options the last one counts. Of a long name a beginning is enough. */
export const valuesIn = (options: readonly string[], long: string, short: string): readonly string[] =>
  options.flatMap((word, at) => {
    const [, name, value] = /^--([a-z-]+)(?:=([\s\S]*))?$/.exec(word) ?? []
    // What may be another one's beginning too, sbatch refuses.
    if (name !== undefined) return long.startsWith(name) ? (value ?? options[at + 1] ?? []) : []
    if (word === `-${short}`) return options[at + 1] ?? []
    return word.startsWith(`-${short}`) ? word.slice(2) : []
  })
