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

export const isRemote = (url: string): boolean => /^(https?|s?webhdfs):\/\//.test(url)
export const isHdfs = (url: string): boolean => /^s?webhdfs:\/\//.test(url)
