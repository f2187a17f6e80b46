import { existsSync } from 'node:fs'
import { quoteText } from '../ports/tables/tables.ts'
import type { RunContext } from './context.ts'
import { rootsOf } from './planning.ts'

/*
 * Where the inputs of jobs lie, by the places that they are named by: `era5:` for a root, `/gpfs/era5/` for a directory that a site has as a root,
 * `://` for HDFS, which nodes read themselves, and an empty text for a file of this machine, or of a server, which can be brought anywhere.
 */

/** How a site comes by files of a place: `never`, as far as is known. */
export type Reach = 'in place' | 'carried' | 'never'

/** SQL for the place of column `url`. */
export function placeSql(sites: readonly RunContext[]): string {
  const directories = [...new Set(sites.flatMap(({ site }) => Object.values(site.roots).map(slashed)))]
  const cases = directories
    .sort((a, b) => b.length - a.length || (a < b ? -1 : 1))
    .map((directory) => `when starts_with(url, ${quoteText(directory)}) then ${quoteText(directory)}`)
  const named = "regexp_extract(url, '^([A-Za-z][A-Za-z0-9_.-]*:)', 1)"
  return `case when regexp_matches(url, '^s?webhdfs://') then '://' when contains(url, '://') then '' ${cases.join(' ')} else ${named} end`
}

/** Whether a site reads files of a place, or they are to be carried there. A root of one name holds the same wherever it is. */
export function reachOf(context: RunContext, place: string): Reach {
  const { site } = context
  if (place === '://') return 'in place'
  const directory = place.endsWith(':') ? rootsOf(context)[place.slice(0, -1)] : place
  if (directory === undefined) return 'never'
  const isHere = site.elsewhere === undefined
  if (directory === '') return isHere ? 'in place' : 'carried'
  if (site.elsewhere?.has(slashed(directory))) return 'in place'
  if (!existsSync(directory)) return 'never'
  return isHere ? 'in place' : 'carried'
}

const slashed = (directory: string): string => (directory.endsWith('/') ? directory : `${directory}/`)
