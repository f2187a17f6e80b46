import { resolve } from 'node:path'
import { type CampaignPlace, pathsHere } from './campaign/campaign.ts'
import { openKafka, openSites, siteNamed, sitesFile } from './config/config.ts'
import { arraysIn, type EventNews, followEvents, Relay } from './events/events.ts'
import { FloeError } from './model/errors.ts'
import type { Bus, From } from './ports/bus/bus.ts'
import { kafkaBus } from './ports/bus/kafka.ts'
import type { Clock } from './ports/clock.ts'

/** What `kafka:` of sites.yaml names; undefined: nothing. Nobody is asked yet. Throws CONFIG_INVALID. */
export function openBus(environment: NodeJS.ProcessEnv): Bus | undefined {
  const setting = openKafka(sitesFile(environment))
  return setting ? kafkaBus(setting) : undefined
}

function neededBus(): Bus {
  const bus = openBus(process.env)
  if (bus) return bus
  throw new FloeError(
    'CONFIG_INVALID',
    `${sitesFile(process.env)} names no \`kafka:\`, so events are told to nobody.`,
    {
      hint: '`kafka: {brokers: ["host:9092"]}` there does; docs/config.md lists what it takes.',
    },
  )
}

export interface WatchOptions {
  /** `committed`: where the group was; a new one begins with what comes. */
  readonly from?: From
  /** Readers of one group share events between them; default: one for each campaign and user. */
  readonly group?: string
  /** Directory of the only campaign whose events are told; absent: all. */
  readonly campaign?: string
  readonly signal: AbortSignal
}

/** Status events as they come; see `followEvents`. Throws CONFIG_INVALID, BUS_UNREACHABLE, BUS_REFUSED, CAMPAIGN_MISSING. */
export async function* watchEvents(
  { from = 'committed', group, signal }: WatchOptions,
  place: CampaignPlace | undefined,
): AsyncGenerator<EventNews> {
  const id = place?.file.id
  const bus = neededBus()
  try {
    yield* followEvents(bus, {
      group: group ?? `floe-watch-${id ?? 'all'}`,
      ...{ from, signal },
      ...(id !== undefined && { campaign: id }),
    })
  } finally {
    await bus.close()
  }
}

/** What a relay told so far, and what keeps it from telling more. */
export interface RelayReport {
  readonly site: string
  readonly topic: string
  readonly sent: number
  /** Record lines that could not be read. */
  readonly damaged: number
  /** Null: nothing. */
  readonly waiting: string | null
}

export interface RelayOptions {
  /** Directory of the only campaign whose events are carried; needed with `local`. Absent: all in the scratch. */
  readonly campaign?: string
  /** What is there now, then back. */
  readonly once?: boolean
  readonly signal: AbortSignal
  readonly onProgress?: (report: RelayReport) => void
}

const LOOK_EVERY_MS = 1000
const AGAIN_MAX_MS = 30_000

/**
 * Carries events of a site from the record files in its scratch, which this machine must see, to Kafka, until the signal. While Kafka is away
 * it tries again; `once` then throws BUS_UNREACHABLE. Throws CONFIG_INVALID, SITE_UNKNOWN, BUS_REFUSED, CAMPAIGN_MISSING.
 */
export async function relayEvents(
  site: string,
  options: RelayOptions,
  { clock, place }: { clock: Clock; place: CampaignPlace | undefined },
): Promise<RelayReport> {
  const scratch = scratchOf(site, place)
  const bus = neededBus()
  const relay = new Relay(bus, site)
  let report: RelayReport = { site, topic: bus.where, sent: 0, damaged: 0, waiting: null }
  let againMs = LOOK_EVERY_MS
  try {
    for (;;) {
      try {
        const { sent, damaged } = await relay.round(arraysIn(scratch, place?.file.id))
        report = { ...report, sent: report.sent + sent, damaged: report.damaged + damaged, waiting: null }
        againMs = LOOK_EVERY_MS
      } catch (error) {
        if (options.once || !(error instanceof FloeError) || error.code !== 'BUS_UNREACHABLE') throw error
        report = { ...report, waiting: error.message }
        againMs = Math.min(AGAIN_MAX_MS, againMs * 2)
      }
      options.onProgress?.(report)
      if (options.once || options.signal.aborted) return report
      await clock.sleep(againMs, options.signal)
    }
  } finally {
    await bus.close()
  }
}

function scratchOf(site: string, place: CampaignPlace | undefined): string {
  if (site === 'local') {
    if (place) return pathsHere(place).scratch
    throw new FloeError('USAGE', 'Events of `local` are those of one campaign, and none is named.', {
      hint: 'Name it with -C, or stand in it.',
    })
  }
  const path = sitesFile(process.env)
  const { ssh, scratch, connector } = siteNamed(openSites(path), site, path)
  if (ssh === null && connector !== 'simulated') return resolve(scratch)
  throw new FloeError('USAGE', `The records of ${site} are not on this machine.`, {
    hint: `Run \`floe relay --site ${site}\` on its login node, where sites.yaml names it without \`ssh:\`; \`floe run\` here tells its events meanwhile.`,
  })
}
