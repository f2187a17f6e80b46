import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'
import { diskFiles } from '../ports/files/disk.ts'

import { CAMPAIGN_FILE, type CampaignFile, type CampaignPlace, identityOf, readPlace, toText } from './identity.ts'

export { CAMPAIGN_FILE, type CampaignFile, type CampaignPlace, localQueue, readPlace } from './identity.ts'
export { adoptCampaign, forkCampaign } from './relocate.ts'

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
  { clock, texts }: { clock: Clock; texts: InitTexts },
): Promise<{ place: CampaignPlace; made: string[] }> {
  const files = diskFiles()
  const wanted = resolve(directory)
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

const exists = (directory: string, name: string) =>
  name === CAMPAIGN_FILE
    ? new FloeError('CAMPAIGN_EXISTS', `${directory} is a campaign already.`, { details: { directory } })
    : new FloeError('CAMPAIGN_EXISTS', `${join(directory, name)} is there already and floe would write into it.`, {
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

/** Whether a campaign lies where it was made. `copied`: the one it was copied from is still there. */
export function locate({ root, file }: CampaignPlace): 'here' | 'moved' | 'copied' {
  const inode = statSync(root).ino
  if (file.path === root) return file.inode === inode ? 'here' : 'copied'
  if (file.inode === inode) return 'moved'
  return originOf(file) ? 'copied' : 'moved'
}

/** The directory in which a campaign of that id still lies where campaign.json says. */
function originOf({ path, id }: CampaignFile): CampaignPlace | undefined {
  try {
    const place = readPlace(path)
    return place?.file.id === id ? place : undefined
  } catch {
    return undefined
  }
}

/** Throws CAMPAIGN_COPIED when a campaign was copied or moved: two campaigns of one id would answer for each other's arrays. */
export function checkPlace(place: CampaignPlace): void {
  const { root, file } = place
  const where = locate(place)
  if (where === 'here') return
  const details = { directory: root, made_in: file.path, where }
  if (where === 'moved') {
    throw new FloeError('CAMPAIGN_COPIED', `This campaign was moved here from ${file.path}.`, {
      details,
      hint: `\`floe init --adopt ${root}\` says that this is right; \`--fork\` if it is a copy to go its own way.`,
    })
  }
  const from =
    file.path === root
      ? 'This directory is not the one that the campaign was made in'
      : `This campaign was copied from ${file.path}, which is still there`
  throw new FloeError('CAMPAIGN_COPIED', `${from}.`, {
    details,
    hint: `\`floe init --fork ${root}\` makes this a campaign of its own; \`--adopt\` if the other one is given up.`,
  })
}
