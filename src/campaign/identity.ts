import { readFileSync, realpathSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { Files } from '../ports/files/files.ts'
import type { Near } from '../ports/tables/tables.ts'

/*
 * campaign.json, version 2: {v, id, made_at, host, path, inode}; `rehearsal_of` in rehearsals. `id` is a UUID; it is in scratch paths and native names. `host`, `path` and
 * `inode` say where the directory was when it was made or last adopted; a copy has another inode, a move another path. In HDFS `path` is the URL, `host`
 * its host and port, `inode` HDFS's id of the directory.
 */
export interface CampaignFile {
  readonly v: typeof VERSION
  readonly id: string
  readonly made_at: string
  readonly host: string
  readonly path: string
  readonly inode: number
  /** A rehearsal of the campaign in that directory: nothing in it is real. */
  readonly rehearsal_of?: string
}

/** Version 1 had other keys of jobs: its verdicts would belong to no job. */
const VERSION = 2

export const CAMPAIGN_FILE = 'campaign.json'

/** A campaign that was found: its directory without links, or its URL, and its UUID. */
export interface CampaignPlace {
  readonly root: string
  readonly file: CampaignFile
  /** Where it lies, if not on this machine's disk. */
  readonly store?: CampaignStore
}

/** A directory elsewhere, as the mains open it. */
export interface CampaignStore {
  readonly files: Files
  /** The same for the group. */
  readonly groupFiles: Files
  /** Of the directory, in `files`. */
  readonly path: string
  readonly url: string
  /** The host that answers for it. */
  readonly host: string
  /** A folder of this machine, for a campaign of that id. */
  readonly cacheFor: (id: string) => string
  /** The same for what is nowhere else: scratch and outputs of the local site. */
  readonly stateFor: (id: string) => string
  readonly openNear: (id: string, files: Files) => Promise<Near>
}

/** campaign.json for a place as it lies now. */
export const identityAt = async ({ root, store }: CampaignPlace, made: { id: string; clock: Clock }) =>
  store ? identityIn(store, made) : identityOf(root, made)

/** The same for a directory of this machine. */
export function identityOf(root: string, { id, clock }: { id: string; clock: Clock }): CampaignFile {
  const { ino } = statSync(root)
  return { v: VERSION, id, made_at: new Date(clock.now()).toISOString(), host: hostname(), path: root, inode: ino }
}

/** The same for a directory elsewhere. */
export async function identityIn(
  store: CampaignStore,
  { id, clock }: { id: string; clock: Clock },
): Promise<CampaignFile> {
  const inode = (await store.files.entry(store.path))?.id ?? 0
  return { v: VERSION, id, made_at: new Date(clock.now()).toISOString(), host: store.host, path: store.url, inode }
}

export const toText = (file: CampaignFile): string => `${JSON.stringify(file, null, 2)}\n`

/** Undefined when there is no campaign.json. */
export function readPlace(directory: string): CampaignPlace | undefined {
  const path = join(directory, CAMPAIGN_FILE)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new FloeError('CAMPAIGN_MISSING', `${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
  return { root: realpathSync(directory), file: parse(text, path) }
}

/** The same of a directory elsewhere. */
export async function readPlaceIn(store: CampaignStore): Promise<CampaignPlace | undefined> {
  const text = await store.files.read(join(store.path, CAMPAIGN_FILE))
  return text && { root: store.url, file: parse(text.toString('utf8'), `${store.url}/${CAMPAIGN_FILE}`), store }
}

function parse(text: string, path: string): CampaignFile {
  const file = parseIdentity(text)
  if (file && file.v !== VERSION) {
    throw new FloeError('NOT_SUPPORTED', `${path} is of another version of floe (${file.v}, not ${VERSION}).`, {
      hint: 'Use the floe that made it, or make the campaign anew: `floe init`, then `floe add` its job files.',
      details: { path },
    })
  }
  if (file) return file
  throw new FloeError('TABLE_DAMAGED', `${path} is damaged: it does not name a campaign.`, { details: { path } })
}

function parseIdentity(text: string): CampaignFile | undefined {
  try {
    const file = JSON.parse(text) as Partial<CampaignFile> | null
    const right =
      typeof file?.path === 'string' &&
      typeof file.id === 'string' &&
      /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(file.id)
    return right ? (file as CampaignFile) : undefined
  } catch {
    return undefined
  }
}

/** Whether a campaign lies where it was made. `copied`: the one it was copied from is still there. */
export async function locate({ root, file, store }: CampaignPlace): Promise<Whereabouts> {
  if (store) return locateIn(store, file)
  const inode = statSync(root).ino
  if (file.path === root) return file.inode === inode ? 'here' : 'copied'
  if (file.inode === inode) return 'moved'
  return originOf(file) ? 'copied' : 'moved'
}

export type Whereabouts = 'here' | 'moved' | 'copied'

/** One HDFS has several addresses, so that the path and HDFS's id of the directory tell; a gateway tells no ids. */
async function locateIn({ files, path }: CampaignStore, { inode, id, path: url }: CampaignFile): Promise<Whereabouts> {
  const now = (await files.entry(path))?.id ?? 0
  const before = url.replace(/^[^/]*\/\/[^/]*/, '') || '/'
  const isKnown = now !== 0 && inode !== 0
  if (before === path) return isKnown && now !== inode ? 'copied' : 'here'
  if (isKnown && now === inode) return 'moved'
  const origin = await files.read(join(before, CAMPAIGN_FILE))
  return origin && parseIdentity(origin.toString('utf8'))?.id === id ? 'copied' : 'moved'
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
export async function checkPlace(place: CampaignPlace): Promise<void> {
  const { root, file } = place
  const where = await locate(place)
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

/** Where the local site keeps what was submitted. It names arrays by absolute paths, so it does not go along with a copy or a move. */
export const localQueue = (scratch: string): string => join(scratch, 'local')
