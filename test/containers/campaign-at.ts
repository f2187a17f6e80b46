import type { ChildProcess } from 'node:child_process'
import { ended, openPlace, type Place, type Told } from '../cli/place.ts'
import type { Site } from './site.ts'

export interface CampaignAt {
  readonly place: Place
  /** floe as a real process, in the campaign. */
  run(...args: string[]): Promise<Told>
  start(...args: string[]): ChildProcess
  /** `run --site frost` beside the test. */
  follow(): Following
  query<Row = Record<string, unknown>>(sql: string): Promise<Row[]>
  /** Tells sites.yaml the port of the login machine, which changes when it is started or plugged in again. */
  locate(): Promise<void>
}

export interface Following {
  readonly campaign: CampaignAt
  readonly child: ChildProcess
  readonly told: Promise<Told>
}

/**
 * A new campaign on this machine and the way to a cluster in containers, named `frost`: over SSH as alice, with scratch on the volume that
 * its machines share and nothing installed there. `more` are lines of the site; `place` is closed at the end of the test, or one that the caller closes.
 */
export async function openCampaignAt(
  site: Site,
  {
    connector,
    more = '',
    settings = '',
    interval = '2s',
    place = openPlace(),
  }: { connector: 'slurm' | 'sge' | 'local'; more?: string; settings?: string; interval?: string; place?: Place },
): Promise<CampaignAt> {
  const env = { XDG_CONFIG_HOME: place.path('config') }
  const locate = async (): Promise<void> => {
    const { host, port, user, identityFile, knownHostsFile } = await site.ssh()
    place.file(
      'config/floe/sites.yaml',
      `sites:
  frost:
    connector: ${connector}
    ssh: {to: ${user}@${host}, port: ${port}, identity: ${identityFile}, known_hosts: ${knownHostsFile}, agent: none}
    scratch: /scratch/alice
    interval: ${interval}
${more}`,
      0o600,
    )
  }
  await locate()
  await place.run(['init', 'c'], { env })
  if (settings !== '') place.file('c/floe.yaml', settings)
  const start = (...args: string[]) => place.start(['-C', place.path('c'), ...args], { env })
  const campaign: CampaignAt = {
    place,
    locate,
    start,
    run: (...args) => ended(start(...args)),
    follow() {
      const child = start('run', '--site', 'frost', '--json')
      return { campaign, child, told: ended(child) }
    },
    async query<Row>(sql: string) {
      const { stdout, stderr, status } = await ended(start('query', sql, '--json'))
      if (status !== 0) throw new Error(stderr)
      return stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Row)
    },
  }
  return campaign
}
