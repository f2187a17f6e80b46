/** What words for sbatch say of an option, in order; of most options the last one counts. */
export const valuesIn = (options: readonly string[], long: string, short: string): readonly string[] =>
  options.flatMap((word, at) => {
    if (word === `--${long}` || word === `-${short}`) return options[at + 1] ?? []
    const joined = [`--${long}=`, `-${short}`].find((start) => word.startsWith(start))
    return joined === undefined ? [] : word.slice(joined.length)
  })
