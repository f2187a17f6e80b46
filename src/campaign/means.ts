import type { CampaignPaths } from '../model/campaign.ts'
import type { Clock, VirtualClock } from '../ports/clock.ts'
import type { Files } from '../ports/files/files.ts'
import type { Tables, TablesOptions } from '../ports/tables/tables.ts'
import type { RunContext } from '../run/run.ts'
import type { Simulation, SimulationWishes } from './simulate.ts'

/** What the mains choose: the implementations behind the ports, and where the programs of floe lie. */
export interface Means {
  readonly clock: Clock
  /** user@host */
  readonly user: string
  readonly cores: number
  readonly openTables: (options: TablesOptions) => Promise<Tables>
  readonly files: Files
  /** A site by its name; nothing is asked of it yet. Throws SITE_UNKNOWN. */
  readonly openSite: (name: string, ground: SiteGround) => Promise<RunContext['site']>
  /** One that runs nothing, in virtual time. Throws SITE_UNKNOWN. */
  readonly openSimulation: (name: string, ground: SiteGround, wishes: SimulationWishes) => Promise<Simulation>
  readonly virtualClock: (startMs: number) => VirtualClock
  readonly openBus: RunContext['openBus']
  readonly stores: RunContext['stores']
  readonly runner: readonly string[]
}

/** What a site needs to know of the campaign. */
export interface SiteGround {
  readonly campaignId: string
  readonly paths: CampaignPaths
  readonly roots: Readonly<Record<string, string>>
  readonly slots: number
}
