import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { Files } from '../ports/files/files.ts'

import {
  CAMPAIGN_FILE,
  type CampaignPlace,
  type CampaignStore,
  checkPlace,
  identityIn,
  identityOf,
  readPlace,
  readPlaceIn,
  toText,
} from './identity.ts'

export type * from './answers.ts'
export {
  CAMPAIGN_FILE,
  type CampaignFile,
  type CampaignPlace,
  type CampaignStore,
  localQueue,
  readPlace,
} from './identity.ts'
export type { Means, SiteGround } from './means.ts'
export { OpenedCampaign } from './open.ts'
export { relocateCampaign } from './relocate.ts'
export type { Columns } from './rows.ts'
export type { Counted, Simulation, SimulationWishes } from './simulate.ts'
export type * from './verbs.ts'
export { pathsHere } from './whereabouts.ts'

const GITIGNORE = `# Made by floe; floe.yaml is what goes into git.
/${CAMPAIGN_FILE}
/tables/
/outputs/
/scratch/
/.floe/
/lease.json
/.lease.*
/rejects.ndjson
`

/** What `init` writes beside campaign.json; the texts come from config. */
export interface InitTexts {
  readonly configFile: string
  readonly config: (name: string) => string
  readonly schema: string
}

/**
 * Makes a campaign in a directory, with the directory if need be. A floe.yaml or .gitignore that is there is kept (the first as it is, the
 * second with lines added). Throws CAMPAIGN_EXISTS, and changes nothing, when there is a campaign, or a folder `tables`, already.
 */
export async function makeCampaign(
  directory: string,
  { files, clock, texts }: { files: Files; clock: Clock; texts: InitTexts },
): Promise<{ place: CampaignPlace; made: string[] }> {
  const wanted = resolve(directory)
  const there = readPlace(wanted)
  if (there) await checkPlace(there)
  for (const name of [CAMPAIGN_FILE, 'tables']) {
    if (await files.entry(join(wanted, name))) throw exists(wanted, name)
  }
  await files.makeFolders(wanted)
  const root = realpathSync(wanted)
  const made: string[] = []
  if (await files.create(join(root, texts.configFile), texts.config(basename(root)))) made.push(texts.configFile)
  const ignored = await files.read(join(root, '.gitignore'))
  if (!ignored?.toString().includes(GITIGNORE)) {
    await files.write(join(root, '.gitignore'), ignored ? `${ignored.toString().trimEnd()}\n\n${GITIGNORE}` : GITIGNORE)
    made.push('.gitignore')
  }
  for (const folder of ['tables', 'outputs', '.floe']) {
    if (await files.makeFolder(join(root, folder))) if (folder !== '.floe') made.push(`${folder}/`)
  }
  await files.write(join(root, '.floe', 'floe.schema.json'), texts.schema)
  const file = identityOf(root, { id: clock.uuid(), clock })
  if (!(await files.create(join(root, CAMPAIGN_FILE), toText(file)))) throw exists(root, CAMPAIGN_FILE)
  return { place: { root, file }, made: [CAMPAIGN_FILE, ...made] }
}

/** The same in a directory elsewhere. */
export async function makeCampaignIn(
  store: CampaignStore,
  { clock, texts }: { clock: Clock; texts: InitTexts },
): Promise<{ place: CampaignPlace; made: string[] }> {
  const { files, path, url } = store
  for (const name of [CAMPAIGN_FILE, 'tables']) {
    if (await files.entry(join(path, name))) throw exists(url, name)
  }
  await files.makeFolders(path)
  const made: string[] = []
  if (await files.create(join(path, texts.configFile), texts.config(basename(path)))) made.push(texts.configFile)
  for (const folder of ['tables', 'outputs']) {
    if (await files.makeFolder(join(path, folder))) made.push(`${folder}/`)
  }
  const file = await identityIn(store, { id: clock.uuid(), clock })
  if (!(await files.create(join(path, CAMPAIGN_FILE), toText(file)))) throw exists(url, CAMPAIGN_FILE)
  return { place: { root: url, file, store }, made: [CAMPAIGN_FILE, ...made] }
}

const exists = (directory: string, name: string) =>
  name === CAMPAIGN_FILE
    ? new FloeError('CAMPAIGN_EXISTS', `${directory} is a campaign already.`, { details: { directory } })
    : new FloeError('CAMPAIGN_EXISTS', `${directory}/${name} is there already and floe would write into it.`, {
        details: { directory, name },
        hint: 'Choose another directory, or move that folder away.',
      })

/** The campaign named by `-C`, or the one around `from`. Throws CAMPAIGN_MISSING. Reads one small file a directory upwards. */
export function findCampaign({ named, from }: { named?: string | undefined; from: string }): CampaignPlace {
  if (named !== undefined) {
    const place = readPlace(resolve(from, named))
    if (place) return place
    const directory = resolve(from, named)
    const why = statSync(directory, { throwIfNoEntry: false })
      ? `is no campaign: it has no ${CAMPAIGN_FILE}`
      : 'is not there'
    throw missing(`${directory} ${why}.`, directory)
  }
  let cloned: string | undefined
  for (let directory = resolve(from); ; directory = dirname(directory)) {
    const place = readPlace(directory)
    if (place) return place
    if (cloned === undefined && isFile(join(directory, 'floe.yaml'))) cloned = directory
    if (directory === dirname(directory)) break
  }
  throw missing(`There is no campaign in ${resolve(from)} or above it.`, cloned)
}

/** The campaign in a directory elsewhere. Throws CAMPAIGN_MISSING. */
export async function findCampaignIn(store: CampaignStore): Promise<CampaignPlace> {
  const place = await readPlaceIn(store)
  if (place) return place
  const why = (await store.files.entry(store.path)) ? `is no campaign: it has no ${CAMPAIGN_FILE}` : 'is not there'
  throw new FloeError('CAMPAIGN_MISSING', `${store.url} ${why}.`)
}

function missing(message: string, directory: string | undefined): FloeError {
  if (directory === undefined || !isFile(join(directory, 'floe.yaml')))
    return new FloeError('CAMPAIGN_MISSING', message)
  return new FloeError('CAMPAIGN_MISSING', message, {
    hint: `${directory} has a floe.yaml: \`floe init ${directory}\` makes a campaign with it.`,
  })
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
}
