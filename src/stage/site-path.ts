import { join } from 'node:path'

/** Where a url lies on the site, when it is read in place: an absolute path, or `root:path` below a root that the site names. */
export function sitePath(url: string, roots: Readonly<Record<string, string>>): string | undefined {
  if (url.startsWith('/')) return url
  const [, root, path] = /^([A-Za-z][\w.-]*):(?!\/\/)(.*)$/.exec(url) ?? []
  const base = root === undefined ? undefined : roots[root]
  if (base === undefined) return undefined
  const joined = join(base, path!)
  return joined === base || joined.startsWith(`${base.replace(/\/$/, '')}/`) ? joined : undefined
}

/** SQL: whether a column holds an address of one of these HDFS, which go by `host:port`, or by a host for all its ports. */
export function isAtSql(url: string, authorities: readonly string[]): string {
  const list = `(${authorities.map((one) => `'${one}'`).join(', ')})`
  const named = `regexp_extract(${url}, '^s?webhdfs://([^/]*)', 1)`
  const port = `case when starts_with(${url}, 'swebhdfs:') then ':9871' else ':9870' end`
  const full = `(case when regexp_matches(${named}, ':[0-9]+$') then ${named} else ${named} || ${port} end)`
  return `(${named} <> '' and (${full} in ${list} or regexp_replace(${named}, ':[0-9]+$', '') in ${list}))`
}

export const isRemote = (url: string): boolean => /^(https?|s?webhdfs):\/\//.test(url)
export const isHdfs = (url: string): boolean => /^s?webhdfs:\/\//.test(url)
