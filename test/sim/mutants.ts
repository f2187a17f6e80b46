/** A rule of the coordinator that is broken on purpose: the first text is replaced by the second, and has to be there once. */
export interface Mutant {
  readonly what: string
  readonly file: string
  readonly from: string
  readonly to: string
  /** A campaign that saw it: tried first, for most changes leave that so. */
  readonly seed: number
}

export const MUTANTS: readonly Mutant[] = [
  {
    what: 'absent means succeeded',
    file: 'src/run/evidence.ts',
    from: "const VANISHED: Said = {\n  verdict: 'lost',\n  class: 'lost',",
    to: "const VANISHED: Said = {\n  verdict: 'succeeded',\n  class: null,",
    seed: 6,
  },
  {
    what: 'a task that ended well has done its jobs',
    file: 'src/run/evidence.ts',
    from: "succeeded: { verdict: 'lost', class: 'lost',",
    to: "succeeded: { verdict: 'succeeded', class: null,",
    seed: 9,
  },
  {
    what: 'a later verdict counts like the first',
    file: 'src/run/live-array.ts',
    from: 'const superseded = verdict.superseded || this.#decided.has(name)',
    to: 'const superseded = false',
    seed: 1,
  },
  {
    what: 'verdicts are published before results',
    file: 'src/results/publish.ts',
    from: '  if (results.length > 0) await publishResults(tables, guard)\n',
    to: '',
    seed: 1,
  },
  {
    what: 'the lease is not checked when verdicts are committed',
    file: 'src/run/publisher.ts',
    from: 'guard: this.#guard,',
    to: 'guard: async () => {},',
    seed: 38,
  },
  {
    what: 'a job that was lost is given up',
    file: 'src/run/policy.ts',
    from: "hasMore(rule, had) ? 'retry' : rule.exhausted",
    to: "hasMore(rule, had) && failure !== 'lost' ? 'retry' : rule.exhausted",
    seed: 6,
  },
  {
    what: 'tries of one class are counted by all of them, from one on',
    file: 'src/run/policy.ts',
    from: 'before.same + 1 < rule.tries',
    to: 'before.counted + before.same < 1',
    seed: 11,
  },
  {
    what: 'an array that may be submitted is let go',
    file: 'src/run/take-up.ts',
    from: "if (state === 'not tried') await letGo(context, array)",
    to: "if (state === 'not tried' || state === 'tried') await letGo(context, array)",
    seed: 39,
  },
  {
    what: 'record lines that are published are read as news',
    file: 'src/run/take-up.ts',
    from: 'array.harvest(committed)',
    to: 'array.harvest()',
    seed: 7,
  },
  {
    what: 'an array is let go when its submission is not heard of',
    file: 'src/run/feed.ts',
    from: '} else if (!isRefusal(error)) return',
    to: '}',
    seed: 9,
  },
  {
    what: 'it is submitted without a note that it was tried',
    file: 'src/dispatch/site.ts',
    from: "  writeFileSync(join(array.directory, 'tried'), `${array.name}\\n`, { mode: 0o600 })\n",
    to: '',
    seed: 39,
  },
  {
    what: 'jobs that are under way are planned once more',
    file: 'src/run/planning.ts',
    from: 'anti join batched x on x.job_key = j.job_key',
    to: '',
    seed: 9,
  },
  {
    what: 'an array whose directory was purged is waited for',
    file: 'src/run/watch.ts',
    from: '    for (const task of array.openTasks) array.markGone(task)\n    this.#giveUp(array, () => ({',
    to: '    this.#giveUp(array, () => ({',
    seed: 19,
  },
  {
    what: 'a task that is not listed is never believed to be gone',
    file: 'src/run/watch.ts',
    from: '(isBlank ? blankMs : absentMs)) found.absent.push(task)',
    to: 'Number.POSITIVE_INFINITY) found.absent.push(task)',
    seed: 9,
  },
]
