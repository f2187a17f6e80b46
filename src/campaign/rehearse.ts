import { copyFileSync, linkSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { CONFIG_FILE } from '../config/config.ts'
import { campaignPaths } from '../model/campaign.ts'
import type { TableName } from '../model/tables.ts'
import type { Clock } from '../ports/clock.ts'
import type { Files } from '../ports/files/files.ts'
import type { Tables, TablesOptions } from '../ports/tables/tables.ts'
import { diskLeases } from '../run/run.ts'
import { CAMPAIGN_FILE, type CampaignPlace, toText } from './identity.ts'
import { forkCampaign, isLease } from './relocate.ts'

/** Where the rehearsal of a campaign lies: a campaign of its own, in its cache. The next one takes its place. */
export const rehearsalOf = (cache: string): string => join(cache, 'rehearsal')
/** Where a plan for a site that runs nothing is made. */
export const planCopyOf = (cache: string): string => join(cache, 'rehearsal-plan')

/**
 * Makes a copy of a campaign to rehearse in: its tables as they are (parts are linked, for nobody changes one), no live arrays, a new id, and
 * the mark that nothing there is real. The campaign itself is only read. Throws RUN_LOCKED, and changes nothing, while somebody works on
 * the rehearsal before.
 */
export async function makeRehearsal({
  place,
  root,
  openTables,
  files,
  clock,
  without = [],
}: {
  readonly place: CampaignPlace
  /** Where it will lie. */
  readonly root: string
  readonly openTables: (root: string) => Promise<Tables>
  readonly files: Files
  readonly clock: Clock
  /** Tables that it begins without. */
  readonly without?: readonly TableName[]
}): Promise<CampaignPlace> {
  mkdirSync(root, { recursive: true, mode: 0o700 })
  const lease = await diskLeases(root, clock).take()
  try {
    for (const name of readdirSync(root).filter((name) => !isLease(name)))
      rmSync(join(root, name), { recursive: true, force: true })
    await copyFrom(place, root)
    for (const table of without) rmSync(join(root, 'tables', table), { recursive: true, force: true })
    const tables = await openTables(root)
    try {
      const forked = await forkCampaign({ place: { root, file: place.file }, tables, files, clock })
      const file = { ...forked.file, rehearsal_of: place.root }
      await files.write(join(root, CAMPAIGN_FILE), toText(file))
      return { root, file }
    } finally {
      await tables.close()
    }
  } finally {
    await lease.release()
  }
}

async function copyFrom({ root: from, store }: CampaignPlace, to: string): Promise<void> {
  if (!store) return copyTree(join(from, 'tables'), join(to, 'tables'))
  await fetchTree(store.files, join(store.path, 'tables'), join(to, 'tables'))
  await store.files.fetch(join(store.path, CONFIG_FILE), join(to, CONFIG_FILE))
}

/** Logs before parts: what a commit lists was there before it. */
function copyTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o700 })
  const entries = readdirSync(from, { withFileTypes: true })
  for (const entry of logFirst(entries)) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) copyTree(source, target)
    else if (entry.isFile()) linkOrCopy(source, target)
  }
}

const logFirst = <T extends { readonly name: string }>(entries: readonly T[]): T[] => [
  ...entries.filter(({ name }) => name === '_delta_log'),
  ...entries.filter(({ name }) => name !== '_delta_log'),
]

function linkOrCopy(source: string, target: string): void {
  try {
    linkSync(source, target)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // What is gone was an aside of a commit under way.
    if (code === 'ENOENT') return
    copyFileSync(source, target)
  }
}

async function fetchTree(files: Files, from: string, to: string): Promise<void> {
  mkdirSync(to, { recursive: true, mode: 0o700 })
  for (const { name, kind } of logFirst(await files.list(from))) {
    if (kind === 'folder') await fetchTree(files, join(from, name), join(to, name))
    // What is gone was an aside of a commit under way.
    else await files.fetch(join(from, name), join(to, name))
  }
}

/** Does something in a copy of a campaign, which is gone afterwards unless it is kept. */
export async function inRehearsal<C extends { close(): Promise<void> }, T>(
  given: {
    readonly place: CampaignPlace
    readonly root: string
    readonly openTables: (options: TablesOptions) => Promise<Tables>
    readonly files: Files
    readonly clock: Clock
    readonly without?: readonly TableName[]
    readonly keep?: boolean
  },
  open: (place: CampaignPlace) => C,
  act: (copy: C) => Promise<T>,
): Promise<T> {
  const { root, files, clock, openTables, without = [], keep = true } = given
  const place = await makeRehearsal({
    ...{ place: given.place, root, files, clock, without },
    openTables: (there) => openTables({ root: there, cache: campaignPaths(there).cache, clock }),
  })
  const copy = open(place)
  try {
    return await act(copy)
  } finally {
    await copy.close()
    if (!keep) rmSync(root, { recursive: true, force: true })
  }
}
