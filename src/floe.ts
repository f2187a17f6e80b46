import { existsSync } from 'node:fs'
import { availableParallelism, hostname, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import {
  CAMPAIGN_FILE,
  type Campaign,
  type CampaignPlace,
  findCampaign,
  findCampaignIn,
  type InitReport,
  type Means,
  makeCampaign,
  makeCampaignIn,
  OpenedCampaign,
  readPlace,
} from './campaign/campaign.ts'
import type { DoctorReport, ExamineOptions } from './doctor/doctor.ts'
import type { EventNews } from './events/events.ts'
import { FloeError } from './model/errors.ts'
import { systemClock, virtualClock } from './ports/clock.ts'
import { diskFiles } from './ports/files/disk.ts'
import { isHdfsUrl } from './ports/files/webhdfs-url.ts'
import type { SitesReport } from './sites.ts'
import type { RelayOptions, RelayReport, WatchOptions } from './status-events.ts'

export type {
  AddOptions,
  AddReport,
  Campaign,
  CleanOptions,
  CleanReport,
  Columns,
  FetchOptions,
  FetchReport,
  InitReport,
  JobReport,
  JobsOptions,
  JsonRow,
  LogOptions,
  PlanOptions,
  PlanReport,
  RealRun,
  Rejected,
  RequestReport,
  ResultsFormat,
  ResultsOptions,
  ResultsReport,
  RowStream,
  RunOptions,
  RunProgress,
  RunReport,
  Selection,
  SimulatedRun,
  SimulateOptions,
  SimulationReport,
  SiteAtWork,
  StateCounts,
  StatusReport,
  TryOptions,
  TryReport,
} from './campaign/campaign.ts'
export type { DoctorReport, Finding, FindingLevel, FindingSubject, LimitsReport, Measured } from './doctor/doctor.ts'
export type { Board as EventBoard, EventNews } from './events/events.ts'
export { CODES, type Code, FloeError } from './model/errors.ts'
export type { StatusEvent } from './model/event.ts'
export { JOB_STATES, type JobState, VERDICTS, type Verdict } from './model/verdict.ts'
export type { SiteRow, SitesReport } from './sites.ts'
export type { RelayOptions, RelayReport, WatchOptions } from './status-events.ts'

/**
 * Opens a campaign: the one in `directory`, which may be a webhdfs:// address, else the one around the current directory. Reads campaign.json and nothing else. Throws
 * CAMPAIGN_MISSING. To be closed by the caller.
 */
export async function openCampaign(directory?: string, options: OpenOptions = {}): Promise<Campaign> {
  const isThere = directory !== undefined && isHdfsUrl(directory)
  return new OpenedCampaign(await placeAt(directory), means(options, isThere))
}

async function placeAt(directory: string | undefined): Promise<CampaignPlace> {
  const store = directory === undefined ? undefined : await storeAt(directory)
  return store ? findCampaignIn(store) : findCampaign({ named: directory, from: process.cwd() })
}

/** Undefined for a directory of this machine. */
async function storeAt(directory: string) {
  return isHdfsUrl(directory) ? (await import('./stores.ts')).openStore(directory, process.env) : undefined
}

/** Asks the person at the terminal: `echo` false for secrets. Rejects when the answer is refused. */
export type Ask = (prompt: string, options: { echo: boolean }) => Promise<string>

export interface OpenOptions {
  /** For passphrases and one-time passwords of sites over SSH; absent: a site that asks is refused. */
  readonly ask?: Ask
}

/** `local`, and the sites that sites.yaml names, with the date of their last `doctor`. Reads files of this machine only. Throws CONFIG_INVALID. */
export async function listSites(): Promise<SitesReport> {
  return (await import('./sites.ts')).sitesReport(process.env)
}

export interface DoctorOptions extends ExamineOptions, OpenOptions {}

/**
 * Looks what a site is and can do, and keeps that as its profile; see `examine`. Throws SITE_UNKNOWN and CONFIG_INVALID; what the site itself
 * does wrong is a finding.
 */
export async function doctor(name: string, options: DoctorOptions = {}): Promise<DoctorReport> {
  const { examine, examineThisMachine, writeProfile } = await import('./doctor/doctor.ts')
  if (name === 'local') return examineThisMachine(systemClock)
  const { openSiteAtHand } = await import('./sites.ts')
  const { ask, ...wishes } = options
  const { hand, profile, close } = await openSiteAtHand(name, { program, clock: systemClock, ...(ask && { ask }) })
  try {
    const report = await examine(hand, wishes)
    // Of a site that could not be reached nothing new is known.
    if (report.version !== null) writeProfile(profile, report)
    return report
  } finally {
    await close()
  }
}

/** Status events as they come over Kafka, each once; see `watchEvents`. */
export async function* watchEvents(options: WatchOptions): AsyncGenerator<EventNews> {
  const place = options.campaign === undefined ? undefined : await placeAt(options.campaign)
  yield* (await import('./status-events.ts')).watchEvents(options, place)
}

/** Carries events of a site to Kafka; see `relayEvents`. */
export async function relayEvents(site: string, options: RelayOptions): Promise<RelayReport> {
  const place = options.campaign === undefined ? undefined : await placeAt(options.campaign)
  return (await import('./status-events.ts')).relayEvents(site, options, { clock: systemClock, place })
}

/** Makes a campaign; see `floe init`. Throws CAMPAIGN_EXISTS. */
export async function initCampaign(directory: string): Promise<InitReport> {
  const { CONFIG_FILE, configTemplate, jsonSchema, openConfig } = await import('./config/config.ts')
  const store = await storeAt(directory)
  if (!store) openConfig(directory)
  const texts = { configFile: CONFIG_FILE, config: configTemplate, schema: jsonSchema() }
  const { place, made } = store
    ? await makeCampaignIn(store, { clock: systemClock, texts })
    : await makeCampaign(directory, { files: diskFiles(), clock: systemClock, texts })
  return { directory: place.root, id: place.file.id, action: 'made', made }
}

/** Makes a copied campaign one of its own: a new id, no live arrays. The original is not touched. */
export const forkCampaign = (directory: string): Promise<InitReport> => relocate(directory, 'forked')

/** Says that a campaign was moved to where it lies now. */
export const adoptCampaign = (directory: string): Promise<InitReport> => relocate(directory, 'adopted')

async function relocate(directory: string, action: 'forked' | 'adopted'): Promise<InitReport> {
  const store = await storeAt(directory)
  const place = store ? await findCampaignIn(store) : readPlace(resolve(directory))
  if (!place)
    throw new FloeError('CAMPAIGN_MISSING', `${resolve(directory)} is no campaign: it has no ${CAMPAIGN_FILE}.`)
  const { relocateCampaign } = await import('./campaign/campaign.ts')
  const { openTables } = await import('./ports/tables/tables.ts')
  const { file } = await relocateCampaign(action, { place, files: diskFiles(), clock: systemClock, openTables })
  return { directory: place.root, id: file.id, action, made: [] }
}

/** The implementations that this main chooses. */
function means({ ask }: OpenOptions, isThere: boolean): Means {
  let stores: Promise<Means['stores']> | undefined
  let hasBeenThere = isThere
  const remote = () => {
    hasBeenThere = true
    stores ??= import('./stores.ts').then(({ openStores }) => openStores(process.env))
    return stores
  }
  return {
    clock: systemClock,
    user: `${userName()}@${hostname()}`,
    cores: availableParallelism(),
    files: diskFiles(),
    openTables: async (options) => (await import('./ports/tables/tables.ts')).openTables(options),
    openSite: async (name, ground) =>
      (await import('./sites.ts')).openSite(name, ground, { program, ...(ask && { ask }) }),
    openSimulation: async (name, ground, wishes) =>
      (await import('./simulation.ts')).openSimulation(name, ground, wishes),
    virtualClock,
    openBus: async () => (await import('./status-events.ts')).openBus(process.env),
    stores: {
      at: async (url) => (await remote()).at(url),
      nodes: async (url) => (await remote()).nodes(url),
      sweep: async (url, nowMs) => (await remote()).sweep(url, nowMs),
      entrances: async (urls, hosts) => (await remote()).entrances(urls, hosts),
      // Who has not been to HDFS loads nothing for it.
      keep: async (nowMs) => (hasBeenThere ? (await remote()).keep(nowMs) : null),
    },
    runner: [process.execPath, program('runner')],
  }
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run as a user id without a name.
    return String(process.getuid?.() ?? 'unknown')
  }
}

/** Programs that sites are given lie beside the bundle; started from the sources, in dist/. */
function program(name: string): string {
  const beside = join(import.meta.dirname, `${name}.js`)
  return existsSync(beside) ? beside : join(import.meta.dirname, '..', 'dist', `${name}.js`)
}
