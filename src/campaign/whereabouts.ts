import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type CampaignPaths, campaignPaths, sitePaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { Tables, TablesOptions } from '../ports/tables/tables.ts'
import type { Leases, RunContext } from '../run/run.ts'
import type { CampaignPlace } from './identity.ts'

/* A campaign lies on a disk of this machine, with all that is its own, or elsewhere: then this machine keeps what only a disk can hold. */

/** The folders of this machine that belong to a campaign. */
export function pathsHere({ root, file, store }: CampaignPlace): CampaignPaths {
  if (!store) return campaignPaths(root)
  const state = store.stateFor(file.id)
  return {
    ...campaignPaths(store.cacheFor(file.id)),
    ...{ outputs: join(state, 'outputs'), scratch: join(state, 'scratch') },
  }
}

/** With the directory of outputs that floe.yaml names; one below a campaign that lies elsewhere is below what is kept here of it. */
export function pathsWith(place: CampaignPlace, outputs: string): CampaignPaths {
  const { file, store } = place
  const isThere = store && outputs.startsWith(`${store.url}/`)
  return {
    ...pathsHere(place),
    outputs: isThere ? resolve(store.stateFor(file.id), outputs.slice(store.url.length + 1)) : outputs,
  }
}

/** Throws NOT_SUPPORTED for the address of another campaign. */
export function onDisk(root: string): string {
  if (!root.includes('://')) return root
  throw new FloeError('NOT_SUPPORTED', `${root} cannot be read: \`reuse:\` takes campaigns on disks as yet.`)
}

export async function leasesOf({ root, store }: CampaignPlace, clock: Clock, group = false): Promise<Leases> {
  const { diskLeases, leasesIn } = await import('../run/run.ts')
  return store ? leasesIn(group ? store.groupFiles : store.files, store.path, clock) : diskLeases(root, clock)
}

export async function tablesOptions(place: CampaignPlace, clock: Clock, group = false): Promise<TablesOptions> {
  const { root, file, store } = place
  const ground = { cache: pathsHere(place).cache, clock }
  if (!store) return { ...ground, root }
  const files = group ? store.groupFiles : store.files
  return { ...ground, root: store.path, store: { files, near: await store.openNear(file.id, files) } }
}

const arraysHere = (place: CampaignPlace): string => sitePaths(pathsHere(place).scratch, place.file.id).arrays

/** Arrays of the local site of another machine that are not over, as far as tables tell. */
export interface Foreign {
  readonly arrays: readonly string[]
  readonly jobs: number
  /** Where jobs of them ran; empty: nothing is known of that. */
  readonly nodes: readonly string[]
}

export async function foreignArrays(place: CampaignPlace, tables: Pick<Tables, 'sql' | 'view'>): Promise<Foreign> {
  await tables.view('batches')
  await tables.view('attempts')
  const rows = await tables.sql.rows<{ id: string; jobs: number; nodes: string[] }>(
    `select b.id, b.jobs, coalesce(a.nodes, []) as nodes from (
       select array_id as id, sum(jobs)::double as jobs from batches where state in ('staged', 'submitted') and site = 'local' group by all) b
     left join (select array_id as id, list(distinct node) filter (node is not null) as nodes from attempts group by all) a using (id)
     order by id`,
  )
  const here = arraysHere(place)
  const away = rows.filter(({ id }) => !existsSync(join(here, id)))
  return {
    arrays: away.map(({ id }) => id),
    jobs: away.reduce((sum, { jobs }) => sum + jobs, 0),
    nodes: [...new Set(away.flatMap(({ nodes }) => nodes))].sort(),
  }
}

/** Throws RUN_LOCKED when the local site of another machine has work of this campaign: to run it here too would be twice. */
export async function refuseForeign(place: CampaignPlace, { tables, site, beside = [] }: RunContext): Promise<void> {
  if (!place.store || ![site, ...beside].some(({ name }) => name === 'local')) return
  const { arrays, jobs, nodes } = await foreignArrays(place, tables)
  if (arrays.length === 0) return
  const here = arraysHere(place)
  const ran = nodes.length > 0 ? ` (jobs of them ran on ${nodes.join(', ')})` : ''
  throw new FloeError(
    'RUN_LOCKED',
    `${jobs} jobs of ${arrays.join(', ')} were sent to the local site of another machine${ran}: their records are not in ${here}.`,
    {
      hint: `Run there, or at another site. If that machine is given up, \`floe init --adopt '${place.root}'\` lets these jobs run again.`,
      details: { arrays: [...arrays], nodes: [...nodes] },
    },
  )
}
