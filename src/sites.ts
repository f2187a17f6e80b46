import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCommandConnector } from '../connectors/command.ts'
import type { Dialect } from '../connectors/dialect.ts'
import { lateConnector } from '../connectors/late.ts'
import { localDialect } from '../connectors/local/dialect.ts'
import { openLocalConnector, waitingHere } from '../connectors/local/local.ts'
import { pbs } from '../connectors/pbs/pbs.ts'
import { qsubQueues } from '../connectors/scheduler-text.ts'
import { SGE_WORDS, sge } from '../connectors/sge/sge.ts'
import { openSimulatedConnector } from '../connectors/simulated/simulated.ts'
import { wishesOf } from '../connectors/slurm/rights.ts'
import { slurm } from '../connectors/slurm/slurm.ts'
import { localTransport } from '../connectors/transport/local.ts'
import type { Ask } from '../connectors/transport/ssh/keys.ts'
import type { Transport } from '../connectors/transport/transport.ts'
import { localQueue, type SiteGround } from './campaign/campaign.ts'
import { openSites, type SiteSetting, siteNamed, sitesFile } from './config/config.ts'
import {
  localSite,
  openScratchSite,
  programThere,
  type ScratchSiteOptions,
  type Site,
  simulatedRunner,
  simulatedSite,
} from './dispatch/dispatch.ts'
import { intervalFor, profileFile, readProfile, type SiteAtHand, toSiteLimits } from './doctor/doctor.ts'
import { sitePaths } from './model/campaign.ts'
import { FloeError } from './model/errors.ts'
import type { Clock } from './ports/clock.ts'
import { readManifest } from './stage/stage.ts'

type Real = SiteSetting & { readonly connector: Exclude<SiteSetting['connector'], 'simulated'> }

const isReal = (setting: SiteSetting): setting is Real => setting.connector !== 'simulated'

const DIALECTS: Readonly<Record<Exclude<Real['connector'], 'local'>, (setting: SiteSetting) => Dialect>> = {
  slurm: (setting) => slurm(wishesOf(setting)),
  pbs: () => pbs,
  sge: ({ pe, memory, gpu }) =>
    sge({ parallelEnvironment: pe, memory: memory ?? SGE_WORDS.memory, gpus: gpu ?? SGE_WORDS.gpus }),
}

const QUEUES_BY_OPTIONS: Readonly<Record<Real['connector'], (options: readonly string[]) => readonly string[]>> = {
  slurm: (options) => wishesOf({ account: null, queue: null, options }).queues,
  pbs: qsubQueues,
  sge: qsubQueues,
  local: () => [],
}

/** What the mains give besides the name of a site. */
export interface SiteMeans {
  /** Path of a bundled program. */
  readonly program: (name: string) => string
  /** Asks the person for passphrases and one-time passwords; absent: nobody can be asked. */
  readonly ask?: Ask
}

/** Chooses what a site is made of, by its name: `local`, or one of sites.yaml. */
export async function openSite(name: string, ground: SiteGround, means: SiteMeans): Promise<Site> {
  if (name === 'local') return thisMachine(ground, means.program)
  const path = sitesFile(process.env)
  const setting = siteNamed(openSites(path), name, path)
  if (!isReal(setting)) return rehearsalSite(setting, ground)
  const profile = readProfile(profileFile(path, name))
  const parts = await partsOf(setting, means)
  const { paths, campaignId } = ground
  return openScratchSite({
    ...parts,
    paths: sitePaths(setting.scratch, campaignId),
    mirror: sitePaths(paths.scratch, campaignId),
    intervalMs: (profile ? intervalFor(setting.intervalSec, profile.measured) : setting.intervalSec) * 1000,
    knownLimits: profile?.limits ? toSiteLimits(profile.version ?? '', profile.limits) : null,
    clockOffSec: profile?.measured.clock_sec ?? null,
  })
}

/** The site of that name for `doctor`, with the configured file it is from; `close` ends what was opened. Throws SITE_UNKNOWN. */
export async function openSiteAtHand(
  name: string,
  means: SiteMeans & { readonly clock: Clock },
): Promise<{ hand: SiteAtHand; profile: string; close(): Promise<void> }> {
  const path = sitesFile(process.env)
  const setting = siteNamed(openSites(path), name, path)
  if (!isReal(setting)) {
    throw new FloeError('USAGE', `There is nothing to look at: ${name} is simulated.`, {
      hint: `\`floe run --site ${name}\` rehearses a campaign.`,
    })
  }
  const parts = await partsOf(setting, means)
  const id = means.clock.uuid()
  const ground = `${setting.scratch}/floe/doctor/${id}`
  const mirror = mkdtempSync(join(tmpdir(), 'floe-doctor-'))
  const { cache } = sitePaths(setting.scratch, id)
  const site = openScratchSite({
    ...parts,
    paths: { cache, campaign: ground, arrays: ground },
    mirror: { cache: join(mirror, 'cache'), campaign: mirror, arrays: mirror },
    intervalMs: setting.intervalSec * 1000,
    knownLimits: null,
    clockOffSec: null,
  })
  const { transport, connector } = parts
  return {
    hand: { setting, transport, connector, site, ground, id, clock: means.clock },
    profile: profileFile(path, name),
    async close() {
      await site.close()
      rmSync(mirror, { recursive: true, force: true })
    },
  }
}

function thisMachine({ paths, campaignId, roots, slots }: SiteGround, program: SiteMeans['program']): Site {
  return localSite({
    paths: sitePaths(paths.scratch, campaignId),
    outputs: paths.outputs,
    roots,
    slots,
    connect: async () =>
      openLocalConnector({
        directory: localQueue(paths.scratch),
        slots,
        node: process.execPath,
        schedulerFile: program('local-scheduler'),
      }),
    runner: [process.execPath, program('runner')],
  })
}

/** Slots where nothing is said. */
const SIMULATED_SLOTS = 16

function rehearsalSite(setting: SiteSetting, { paths, campaignId, roots }: SiteGround): Site {
  const { name, simulate } = setting
  const slots = setting.slots ?? SIMULATED_SLOTS
  const connector = openSimulatedConnector({
    ...{ directory: `${paths.scratch}/simulated/${name}`, slots, seed: simulate.seed },
    ...{ queueDelaySec: simulate.queueDelaySec, now: Date.now, play: simulatedRunner(simulate, readManifest) },
  })
  return simulatedSite({
    ...{ ...setting, connector, slots, outputs: paths.outputs, roots: { ...roots, ...setting.roots } },
    paths: sitePaths(paths.scratch, campaignId),
  })
}

type Parts = Omit<ScratchSiteOptions, 'paths' | 'mirror' | 'intervalMs' | 'knownLimits' | 'clockOffSec'>

/** What a cluster is made of, whatever it is opened for. Nothing is asked of it yet. */
async function partsOf(setting: Real, { program, ask }: SiteMeans): Promise<Parts> {
  const { ssh } = setting
  // Who names no site over SSH never loads it.
  const transport =
    ssh === null
      ? localTransport()
      : (await import('../connectors/transport/ssh.ts')).sshTransport({ ...ssh, ...(ask && { ask }) })
  const node = {
    node: { path: process.execPath, system: execFileSync('uname', ['-sm'], { encoding: 'utf8' }).trim() },
    ...{ own: setting.node, site: setting.name },
  }
  return {
    ...{ ...setting, transport, runner: { ...node, file: program('runner') } },
    isOneNode: setting.connector === 'local',
    queuesByOptions: QUEUES_BY_OPTIONS[setting.connector](setting.options),
    ...schedulerOf(setting, transport, { ...node, file: program('local-scheduler') }),
  }
}

/** Where there is no scheduler, floe's own is put there before it is asked anything. */
function schedulerOf(
  setting: Real,
  transport: Transport,
  own: ScratchSiteOptions['runner'],
): Pick<ScratchSiteOptions, 'connector' | 'companion'> {
  const { connector, setup, scratch, slots, intervalSec } = setting
  // A second for the time that the question itself takes.
  const turns = { folder: `${scratch}/floe`, everySec: intervalSec - 1 }
  if (connector !== 'local')
    return { connector: openCommandConnector({ dialect: DIALECTS[connector](setting), transport, setup, turns }) }
  const companion = programThere(transport, { scratch, cache: sitePaths(scratch, '').cache }, own)
  const make = async () => {
    const { argv } = await companion()
    const dialect = localDialect({ program: argv, directory: `${scratch}/floe/local`, slots })
    return openCommandConnector({ dialect, transport, setup })
  }
  return { connector: lateConnector({ name: 'local', waiting: waitingHere }, make), companion }
}

/** A site as `floe sites` lists it. */
export interface SiteRow {
  readonly name: string
  readonly connector: SiteSetting['connector'] | 'local'
  /** user@host, or `this machine`. */
  readonly where: string
  /** Null: that of the campaign. */
  readonly scratch: string | null
  readonly queue: string | null
  readonly account: string | null
  /** Scheduler and version, as `doctor` found them. */
  readonly version: string | null
  /** When `doctor` looked last, UTC, and whether it found it usable. */
  readonly checked_at: string | null
  readonly usable: boolean | null
}

export interface SitesReport {
  /** sites.yaml. */
  readonly file: string
  readonly exists: boolean
  readonly sites: readonly SiteRow[]
}

export function sitesReport(environment: NodeJS.ProcessEnv): SitesReport {
  const file = sitesFile(environment)
  const unknown = { queue: null, account: null, version: null, checked_at: null, usable: null }
  const local: SiteRow = { name: 'local', connector: 'local', where: 'this machine', scratch: null, ...unknown }
  const named = openSites(file).map(({ name, connector, ssh, scratch, queue, account }): SiteRow => {
    const profile = readProfile(profileFile(file, name))
    return {
      ...{ name, connector, where: ssh?.target ?? 'this machine', queue, account },
      scratch: connector === 'simulated' ? null : scratch,
      version: profile?.version ?? null,
      checked_at: profile?.checked_at ?? null,
      usable: profile?.usable ?? null,
    }
  })
  return { file, exists: existsSync(file), sites: [local, ...named] }
}
