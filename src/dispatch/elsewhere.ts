import { quote } from '../../connectors/quote.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import type { Elsewhere, SeenFile } from './site.ts'
import { translated } from './translate.ts'

/** A file system that hangs must not hold everything else; contents take their time. */
const LOOK_MS = 120_000
const DIGEST_MS = 1_800_000
/** Paths of one command. */
const ASKED_MAX = 1000

/** Files that only a site sees, asked for in bulk. Needs `stat`, `find` and `sha256sum` of GNU there, as every Linux has. */
export function elsewhereOn(transport: Transport, { has }: Pick<Elsewhere, 'has'>): Elsewhere {
  const inParts = async <T>(
    paths: readonly string[],
    ask: (some: readonly string[]) => Promise<readonly T[]>,
  ): Promise<T[]> => {
    const answers: T[] = []
    for (let from = 0; from < paths.length; from += ASKED_MAX) {
      const some = paths.slice(from, from + ASKED_MAX)
      const tried = `look at ${some.length} files at ${transport.where}`
      for (const answer of await translated(tried, () => ask(some))) answers.push(answer)
    }
    return answers
  }
  return {
    has,
    see: (paths) => inParts(paths, (some) => see(transport, some)),
    digests: (paths) => inParts(paths, (some) => digests(transport, some)),
    isBare: (directory) => translated(`look at ${directory} at ${transport.where}`, () => isBare(transport, directory)),
  }
}

/** What may not be read is there. */
async function isBare(transport: Transport, directory: string): Promise<boolean> {
  const folder = quote(directory)
  const script = `if [ -d ${folder} ]; then [ -r ${folder} ] && [ -z "$(ls -A ${folder} | head -n 1)" ]; else :; fi && echo bare; :`
  const { stdout } = await transport.run(script, { timeoutMs: LOOK_MS })
  return stdout.includes('bare\n')
}

/** A folder has the bytes of all files below it and the time of the newest. */
async function see(transport: Transport, paths: readonly string[]): Promise<(SeenFile | undefined)[]> {
  const files = paths.filter((path) => !path.endsWith('/'))
  const folders = paths.filter((path) => path.endsWith('/'))
  const lines = [
    ...(files.length > 0 ? [`stat -L --printf='%F|%s|%.6Y|%n\\0' -- ${files.map(quote).join(' ')} 2>/dev/null`] : []),
    ...folders.map(
      (folder) =>
        `[ -d ${quote(folder)} ] && { find -L ${quote(folder)} -type f -printf '%s %T@\\n' 2>/dev/null |
          awk '{ n += $1; if ($2 > t) t = $2 } END { printf "folder|%.0f|%.6f|", n, t }'; printf '%s\\0' ${quote(folder)}; }`,
    ),
    ':',
  ]
  // Other locales write the seconds with a comma, and call a directory otherwise.
  const { stdout } = await transport.run(['LC_ALL=C; export LC_ALL', ...lines].join('\n'), { timeoutMs: LOOK_MS })
  const seen = new Map<string, SeenFile>()
  for (const line of stdout.split('\0')) {
    const [, kind, size, time, path] = /^([^|]*)\|(\d+)\|([\d.]+)\|(.*)$/s.exec(line) ?? []
    if (path === undefined || kind === 'directory') continue
    seen.set(path, { sizeBytes: Number(size), mtimeUs: Math.round(Number(time) * 1e6) })
  }
  return paths.map((path) => seen.get(path))
}

async function digests(transport: Transport, paths: readonly string[]): Promise<(string | undefined)[]> {
  const { stdout } = await transport.run(`sha256sum -z -- ${paths.map(quote).join(' ')} 2>/dev/null; :`, {
    timeoutMs: DIGEST_MS,
  })
  const found = new Map<string, string>()
  for (const line of stdout.split('\0')) {
    const [, digest, path] = /^([0-9a-f]{64}) [ *](.*)$/s.exec(line) ?? []
    if (path !== undefined) found.set(path, `sha256:${digest}`)
  }
  return paths.map((path) => found.get(path))
}
