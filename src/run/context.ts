import type { Site } from '../dispatch/dispatch.ts'
import type { CampaignPaths } from '../model/campaign.ts'
import type { Bus } from '../ports/bus/bus.ts'
import type { Clock } from '../ports/clock.ts'
import type { Tables } from '../ports/tables/tables.ts'
import type { DigestPolicy, RemoteStores } from '../stage/stage.ts'
import type { Leases } from './lease.ts'
import type { Policy } from './policy.ts'

/** Jobs that go first, to be measured, where nothing is known of their program and resources. */
export interface ScoutSettings {
  /** 0: none, and nothing is asked for by what was measured. */
  readonly jobs: number
  /** Jobs of such a kind from which that is done. */
  readonly from: number
  /** Longest time that the others wait for them. */
  readonly waitSec: number
}

/** What a campaign is run with; compiled once from floe.yaml and the command line. */
export interface RunSettings {
  /** Null: chosen from the number of jobs and slots, at most 1000. */
  readonly jobsPerBatch: number | null
  /** Wanted length of a batch, where seconds are known. */
  readonly batchSeconds: number
  /** Most bytes of distinct inputs of a batch. */
  readonly batchBytesMax: number | null
  readonly scouts: ScoutSettings
  readonly policy: Policy
  /** Attempts of a job in all classes that use up tries; absent: as the policy says for each class. */
  readonly maxTries?: number | undefined
  /** Share of the decided jobs that may fail before the run stops, 0 to 1. */
  readonly stopWhenFailed: number
  /** Failed jobs at which the run stops, instead of that share. */
  readonly maxFailures?: number | undefined
  /** Other campaigns whose results answer equal jobs. */
  readonly reuse: readonly string[]
  readonly digest: DigestPolicy
  /** How many sandboxes of failed jobs are kept. */
  readonly sandboxesMax: number
  /** A folder in HDFS that tasks publish outputs in; null: they lie at the site. */
  readonly outputsUrl: string | null
  /** Of floe.yaml; those of the site come before them. */
  readonly roots: Readonly<Record<string, string>>
}

/** What every door of this room works with; the mains make it. */
export interface RunContext {
  /** On this machine, wherever the campaign lies. */
  readonly paths: CampaignPaths
  readonly leases: Leases
  /** UUID of campaign.json. */
  readonly campaignId: string
  readonly tables: Tables
  readonly clock: Clock
  /** user@host, for requests. */
  readonly user: string
  readonly settings: RunSettings
  /** Tables of another campaign, to read results from; closed by the caller. */
  readonly openOther: (root: string) => Promise<Tables>
  /** Where arrays are sent. */
  readonly site: Site
  /** More sites that arrays are sent to; absent: none. */
  readonly beside?: readonly Site[]
  /** Another site of this campaign by its name, for what lies there; throws SITE_UNKNOWN. */
  readonly openSite: (name: string) => Promise<Site>
  /** Where status events are told; undefined: nowhere. Closed by who opened it. */
  readonly openBus: () => Promise<Bus | undefined>
  /** What addresses of files in HDFS lead to. */
  readonly stores: RemoteStores
  /** argv of the runner on this machine, without array and task. */
  readonly runner: readonly string[]
}

/** The same for each site that arrays are sent to. */
export const eachSite = ({ beside = [], ...context }: RunContext): RunContext[] =>
  [context.site, ...beside].map((site) => ({ ...context, site }))
