import { existsSync } from 'node:fs'
import { availableParallelism, hostname, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import {
  CAMPAIGN_FILE,
  type Campaign,
  findCampaign,
  type InitReport,
  locate,
  type Means,
  makeCampaign,
  OpenedCampaign,
  readPlace,
} from './campaign/campaign.ts'
import { campaignPaths } from './model/campaign.ts'
import { FloeError } from './model/errors.ts'
import { systemClock } from './ports/clock.ts'
import { diskFiles } from './ports/files/disk.ts'

export type {
  AddOptions,
  AddReport,
  Campaign,
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
  StateCounts,
  StatusReport,
  TryOptions,
  TryReport,
} from './campaign/campaign.ts'
export { CODES, type Code, FloeError } from './model/errors.ts'
export { JOB_STATES, type JobState, VERDICTS, type Verdict } from './model/verdict.ts'

/**
 * Opens a campaign: the one in `directory`, else the one around the current directory. Reads campaign.json and nothing else. Throws
 * CAMPAIGN_MISSING. To be closed by the caller.
 */
export async function openCampaign(directory?: string): Promise<Campaign> {
  return new OpenedCampaign(findCampaign({ named: directory, from: process.cwd() }), means())
}

/** Makes a campaign; see `floe init`. Throws CAMPAIGN_EXISTS. */
export async function initCampaign(directory: string): Promise<InitReport> {
  const { CONFIG_FILE, configTemplate, jsonSchema, openConfig } = await import('./config/config.ts')
  openConfig(directory)
  const texts = { configFile: CONFIG_FILE, config: configTemplate, schema: jsonSchema() }
  const { place, made } = await makeCampaign(directory, { files: diskFiles(), clock: systemClock, texts })
  return { directory: place.root, id: place.file.id, action: 'made', made }
}

/** Makes a copied campaign one of its own: a new id, no live arrays. The original is not touched. */
export const forkCampaign = (directory: string): Promise<InitReport> => relocate(directory, 'forked')

/** Says that a campaign was moved to where it lies now. */
export const adoptCampaign = (directory: string): Promise<InitReport> => relocate(directory, 'adopted')

async function relocate(directory: string, action: 'forked' | 'adopted'): Promise<InitReport> {
  const place = readPlace(resolve(directory))
  if (!place)
    throw new FloeError('CAMPAIGN_MISSING', `${resolve(directory)} is no campaign: it has no ${CAMPAIGN_FILE}.`)
  if (locate(place) === 'here') {
    throw new FloeError('USAGE', `${place.root} was neither copied nor moved.`, {
      hint: '`floe run` runs it as it is.',
    })
  }
  const { adoptCampaign: adopt, forkCampaign: fork } = await import('./campaign/campaign.ts')
  const { openTables } = await import('./ports/tables/tables.ts')
  const { cache, scratch } = campaignPaths(place.root)
  const tables = await openTables({ root: place.root, cache, clock: systemClock })
  try {
    const relocated = await (action === 'forked' ? fork : adopt)({
      place,
      tables,
      files: diskFiles(),
      clock: systemClock,
      scratch,
    })
    return { directory: place.root, id: relocated.file.id, action, made: [] }
  } finally {
    await tables.close()
  }
}

/** The implementations that this main chooses. */
function means(): Means {
  return {
    clock: systemClock,
    user: `${userName()}@${hostname()}`,
    cores: availableParallelism(),
    openTables: async (options) => (await import('./ports/tables/tables.ts')).openTables(options),
    openSite: async (name, ground) => (await import('./sites.ts')).openSite(name, ground, program),
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
