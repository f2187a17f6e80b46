import { existsSync } from 'node:fs'
import type { SeenFile, Site } from '../dispatch/dispatch.ts'
import { FloeError } from '../model/errors.ts'

type Look = NonNullable<Site['elsewhere']>
type SharedLook = Omit<Look, 'see'> & {
  see(paths: readonly string[]): Promise<readonly (SeenFile | 'unknown' | undefined)[]>
}

/**
 * Files that only sites see, of several sites as of one: a file is there when one of them has it. Of what only a site could have that does not answer, nothing is known.
 * What this machine has is looked at here, where it is one of the sites. Undefined: this machine sees them all.
 */
export function seenByAny(sites: readonly Pick<Site, 'elsewhere'>[]): SharedLook | undefined {
  const looks = sites.flatMap(({ elsewhere }) => elsewhere ?? [])
  if (sites.length < 2 || looks.length === 0) return looks[0]
  const isHere = looks.length < sites.length
  return {
    has: (path) => !(isHere && existsSync(path)) && looks.some((look) => look.has(path)),
    see: (paths) => firstOf(looks, paths, (look, some) => look.see(some), 'unknown' as const),
    digests: (paths) => firstOf(looks, paths, (look, some) => look.digests(some), undefined),
    async isBare(directory) {
      for (const look of looks)
        if (look.has(`${directory}/`) && !(await heard(() => look.isBare(directory), false))) return false
      return true
    },
  }
}

async function firstOf<T, Silent>(
  looks: readonly Look[],
  paths: readonly string[],
  ask: (look: Look, some: readonly string[]) => Promise<readonly (T | undefined)[]>,
  silent: Silent,
): Promise<(T | Silent | undefined)[]> {
  const found = new Map<string, T>()
  const unheard = new Set<string>()
  for (const look of looks) {
    const asked = paths.filter((path) => !found.has(path) && look.has(path))
    const answers = asked.length === 0 ? [] : await heard(() => ask(look, asked), undefined)
    if (answers === undefined) for (const path of asked) unheard.add(path)
    for (const [at, answer] of (answers ?? []).entries()) if (answer !== undefined) found.set(asked[at]!, answer)
  }
  return paths.map((path) => found.get(path) ?? (unheard.has(path) ? silent : undefined))
}

async function heard<T>(ask: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof FloeError && error.code === 'SITE_UNREACHABLE') return otherwise
    throw error
  }
}
