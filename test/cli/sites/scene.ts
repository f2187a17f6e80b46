import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { onTestFinished } from 'vitest'
import { CLUSTERS } from '../../fakes/clusters.ts'
import type { FakeScheduler } from '../../fakes/scheduler/fake-scheduler.ts'
import { ended, openPlace, type Place, type Told, type Wish } from '../place.ts'

export interface Scene {
  readonly place: Place
  readonly fake: FakeScheduler
  /** floe with the site `frost`, in the campaign. */
  run(args: readonly string[], wish?: Wish): Promise<Told>
  /** The same, while it works. */
  start(args: readonly string[], wish?: Wish): Started
  json<T = Record<string, unknown>>(...args: string[]): Promise<T>
  /** What `query` says, without times and whatever else differs between two runs. */
  rows(sql: string): Promise<string>
  /** Writes sites.yaml, with `more` for frost. */
  site(more: string): void
  /** Writes sites.yaml, with more or other keys for `frost`. */
  settle(keys: Readonly<Record<string, unknown>>): void
}

export interface Started {
  readonly pid: number
  readonly end: Promise<Told>
  signal(word: NodeJS.Signals): void
}

export interface SceneOptions {
  /** More lines for the site. */
  readonly site?: string
  /** Tasks that the scheduler runs at once. */
  readonly slots?: number
}

/** A campaign in `c/` and a site `frost` of a fake scheduler, whose scratch is `scratch/`, outside of the campaign. */
export async function openScene(scheduler: string, { site: more = '', slots = 4 }: SceneOptions = {}): Promise<Scene> {
  const place = openPlace()
  const cluster = CLUSTERS.find(({ name }) => name === scheduler)!
  const fake = await cluster.fake({ directory: place.path('scheduler'), slots }).start()
  // Its tasks are in process groups of their own and would go on.
  onTestFinished(() => fake.close())
  const env = { XDG_CONFIG_HOME: place.path('config') }
  const site = (lines: string) => {
    place.file(
      'config/floe/sites.yaml',
      `sites:
  frost:
    connector: ${scheduler}
    scratch: ${place.path('scratch')}
${/^ *node:/m.test(lines) ? '' : `    node: ${process.execPath}\n`}    setup: ["PATH=${fake.bin}:$PATH"]
${/^ *interval:/m.test(lines) ? '' : '    interval: 1s\n'}${lines}`,
      0o600,
    )
  }
  const usual = {
    ...{ connector: scheduler, scratch: place.path('scratch'), node: process.execPath, interval: '1s' },
    setup: [`PATH=${fake.bin}:$PATH`],
  }
  // JSON is YAML.
  const settle: Scene['settle'] = (keys) =>
    void place.file('config/floe/sites.yaml', JSON.stringify({ sites: { frost: { ...usual, ...keys } } }), 0o600)
  site(more)
  place.file('scratch/.keep', '')
  await place.run(['init', 'c'], { env })
  const wished = (args: readonly string[], wish: Wish) =>
    [['-C', place.path('c'), ...args], { ...wish, env: { ...env, ...wish.env } }] as const
  const run = (args: readonly string[], wish: Wish = {}) => place.run(...wished(args, wish))
  return {
    place,
    fake,
    run,
    site,
    settle,
    start(args, wish = {}) {
      const child = place.start(...wished(args, wish))
      onTestFinished(() => void child.kill('SIGKILL'))
      return { pid: child.pid!, end: ended(child), signal: (word) => void child.kill(word) }
    },
    async json<T>(...args: string[]) {
      const { stdout, stderr } = await run([...args, '--json'])
      if (stdout === '') throw new Error(`floe ${args.join(' ')} printed no JSON: ${stderr}`)
      return JSON.parse(stdout) as T
    },
    async rows(sql) {
      const { stdout, stderr } = await run(['query', sql, '--csv'])
      if (stderr !== '') throw new Error(`${sql}: ${stderr}`)
      return stdout
    },
  }
}

/** What a test compares after all that may happen: verdicts, contents, and nothing twice. */
export const VERDICTS =
  'select job_id, verdict, class, rule, exit_code, try from attempts where not superseded order by job_id, try'
export const RESULTS = 'select job_id, job_digest, output, size_bytes, digest from results order by all'

/** Jobs that note that they began, and wait for a file `go` if `waits`; then each writes its number. */
export function withWaits(
  place: Place,
  { jobs, waits = true, ...rest }: { jobs: number; waits?: boolean; [key: string]: unknown },
): void {
  const gate = waits ? `while ! [ -e '${place.path('go')}' ]; do sleep 0.05; done\n` : ''
  place.program(
    'wait.sh',
    `echo "$FLOE_JOB" >>'${place.path('ran')}'\necho "hello of $FLOE_JOB"\n${gate}echo "$1" >"$FLOE_OUTPUT_1"`,
  )
  place.jobs(
    'jobs.ndjson',
    Array.from({ length: jobs }, (_, at) => ({
      ...{ id: `j${at}`, executable: './wait.sh', arguments: [String(at)], data: { output: [`o/${at}.txt`] } },
      ...rest,
    })),
  )
}

/** Lets jobs of `withWaits` end. */
export const open = (place: Place): void => writeFileSync(place.path('go'), '')
export const close = (place: Place): void => rmSync(place.path('go'), { force: true })

/** How often each job of `withWaits` began, by name. */
export function began(place: Place): Record<string, number> {
  const lines = existsSync(place.path('ran')) ? readFileSync(place.path('ran'), 'utf8').split('\n').filter(Boolean) : []
  const counts: Record<string, number> = {}
  for (const line of lines.sort()) counts[line] = (counts[line] ?? 0) + 1
  return counts
}

/** Each of so many jobs once. */
export const onceEach = (jobs: number): Record<string, number> =>
  Object.fromEntries(
    Array.from({ length: jobs }, (_, at) => `j${at}`)
      .sort()
      .map((name) => [name, 1]),
  )

/** Waits until `look` gives something. The limit only ends a test that hangs. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  for (const limit = performance.now() + 200_000; performance.now() < limit; ) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`waited in vain: ${what}`)
}
