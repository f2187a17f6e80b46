import { onTestFinished } from 'vitest'
import { CLUSTERS } from '../../fakes/clusters.ts'
import type { FakeScheduler } from '../../fakes/scheduler/fake-scheduler.ts'
import { openPlace, type Place, type Told, type Wish } from '../place.ts'

export interface Scene {
  readonly place: Place
  readonly fake: FakeScheduler
  /** floe with the site `frost`, in the campaign. */
  run(args: readonly string[], wish?: Wish): Promise<Told>
  json<T = Record<string, unknown>>(...args: string[]): Promise<T>
}

/** A campaign in `c/` and a site `frost` of a fake scheduler, whose scratch is `scratch/`, outside of the campaign. */
export async function openScene(scheduler: string, more = ''): Promise<Scene> {
  const place = openPlace()
  const cluster = CLUSTERS.find(({ name }) => name === scheduler)!
  const fake = await cluster.fake({ directory: place.path('scheduler'), slots: 4 }).start()
  onTestFinished(() => fake.stop())
  const env = { XDG_CONFIG_HOME: place.path('config') }
  place.file(
    'config/floe/sites.yaml',
    `sites:
  frost:
    connector: ${scheduler}
    scratch: ${place.path('scratch')}
    node: ${process.execPath}
    setup: ["PATH=${fake.bin}:$PATH"]
    interval: 1s
${more}`,
    0o600,
  )
  place.file('scratch/.keep', '')
  await place.run(['init', 'c'], { env })
  const run = (args: readonly string[], wish: Wish = {}) =>
    place.run(['-C', place.path('c'), ...args], { ...wish, env: { ...env, ...wish.env } })
  return {
    place,
    fake,
    run,
    async json<T>(...args: string[]) {
      const { stdout, stderr } = await run([...args, '--json'])
      if (stdout === '') throw new Error(`floe ${args.join(' ')} printed no JSON: ${stderr}`)
      return JSON.parse(stdout) as T
    },
  }
}
