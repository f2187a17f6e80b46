import type { ChildProcess } from 'node:child_process'
import { onTestFinished } from 'vitest'
import { CLUSTERS } from '../../fakes/clusters.ts'
import type { FakeScheduler } from '../../fakes/scheduler/fake-scheduler.ts'
import { openPlace, type Place, type Told, type Wish } from '../place.ts'

export interface Scene {
  readonly place: Place
  readonly fake: FakeScheduler
  /** floe with the site `frost`, in the campaign. */
  run(args: readonly string[], wish?: Wish): Promise<Told>
  start(args: readonly string[]): ChildProcess
  json<T = Record<string, unknown>>(...args: string[]): Promise<T>
  /** Writes sites.yaml anew, with more or other keys for `frost`. */
  settle(keys: Readonly<Record<string, unknown>>): void
}

/** A campaign in `c/` and a site `frost` of a fake scheduler, whose scratch is `scratch/`, outside of the campaign. */
export async function openScene(scheduler: string, more: Readonly<Record<string, unknown>> = {}): Promise<Scene> {
  const place = openPlace()
  const cluster = CLUSTERS.find(({ name }) => name === scheduler)!
  const fake = await cluster.fake({ directory: place.path('scheduler'), slots: 4 }).start()
  onTestFinished(() => fake.stop())
  const env = { XDG_CONFIG_HOME: place.path('config') }
  const usual = {
    ...{ connector: scheduler, scratch: place.path('scratch'), node: process.execPath, interval: '1s' },
    setup: [`PATH=${fake.bin}:$PATH`],
  }
  // JSON is YAML.
  const settle: Scene['settle'] = (keys) =>
    void place.file('config/floe/sites.yaml', JSON.stringify({ sites: { frost: { ...usual, ...keys } } }), 0o600)
  settle(more)
  place.file('scratch/.keep', '')
  await place.run(['init', 'c'], { env })
  const wished = (args: readonly string[], wish: Wish = {}): [readonly string[], Wish] => [
    ['-C', place.path('c'), ...args],
    { ...wish, env: { ...env, ...wish.env } },
  ]
  const run: Scene['run'] = (args, wish) => place.run(...wished(args, wish))
  return {
    ...{ place, fake, run, settle },
    start: (args) => place.start(...wished(args)),
    async json<T>(...args: string[]) {
      const { stdout, stderr } = await run([...args, '--json'])
      if (stdout === '') throw new Error(`floe ${args.join(' ')} printed no JSON: ${stderr}`)
      return JSON.parse(stdout) as T
    },
  }
}
