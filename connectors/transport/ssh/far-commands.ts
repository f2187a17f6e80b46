import { ConnectorError } from '../../connector.ts'
import { quote } from '../../quote.ts'
import { type Renaming, SAID_OF, type Said } from '../side.ts'
import type { Output } from '../transport.ts'

/* Scripts about many files of the other side in one command, and what they answer. Pure. */

export const foldersScript = (paths: readonly string[]): string => `LC_ALL=C mkdir -p ${paths.map(quote).join(' ')}`

/** Prints `have <position>` for each file that is there, then `sums`, then a line with a digest for each of those, in order. */
export const digestsScript = (paths: readonly string[]): string => `
set --; at=0
for file in ${paths.map(quote).join(' ')}; do
  [ -f "$file" ] && { echo "have $at"; set -- "$@" "$file"; }
  at=$((at+1))
done
echo sums
[ $# -eq 0 ] && exit 0
if command -v sha256sum >/dev/null 2>&1; then exec sha256sum "$@"; fi
if command -v shasum >/dev/null 2>&1; then exec shasum -a 256 "$@"; fi
if command -v openssl >/dev/null 2>&1; then exec openssl dgst -sha256 -r "$@"; fi
exit 127
`

/** For servers without the rename of OpenSSH. Prints `moved <position>` for each that went well. */
export const movesScript = (pairs: readonly Renaming[]): string =>
  pairs.map(({ from, to }, at) => `mv -f ${quote(from)} ${quote(to)} && echo moved ${at}`).join('\n')

export function parseMoves({ stdout, stderr }: Output, count: number): (Error | undefined)[] {
  const moved = new Set([...stdout.matchAll(/^moved (\d+)$/gm)].map(([, at]) => Number(at)))
  return Array.from({ length: count }, (_, at) => (moved.has(at) ? undefined : new Error(stderr.trim())))
}

/** Names are not read, since they may hold anything; a count that does not fit is no answer. */
export function parseDigests(output: Output, count: number, where: string): (string | undefined)[] {
  if (output.exit === 127)
    throw new ConnectorError(
      'refused',
      `${where} has none of sha256sum, shasum and openssl, which would tell whether files came over whole`,
      'Ask for one of them to be installed, or add it to PATH in the start file of the login shell.',
    )
  const [head = '', sums = ''] = output.stdout.split(/^sums$/m)
  const have = [...head.matchAll(/^have (\d+)$/gm)].map(([, at]) => Number(at))
  // GNU marks a line whose name it had to escape with a backslash.
  const found = [...sums.matchAll(/^\\?([0-9a-f]{64})[ *]/gm)].map(([, digest]) => `sha256:${digest}`)
  if (output.exit !== 0 || found.length !== have.length)
    throw new ConnectorError(
      'unreadable',
      `${where} gave ${found.length} digests for ${have.length} files (exit ${output.exit}): ${output.stderr.trim()}`,
      'A file may have gone or be unreadable: look at what it says.',
    )
  const digests = new Map(have.map((at, place) => [at, found[place]]))
  return Array.from({ length: count }, (_, at) => digests.get(at))
}

/** Tries to write 1 MB in a folder, since sftp says of a full disk only that it failed. */
export const roomScript = (folder: string): string => `
try=${quote(folder)}/.floe-room.$$
LC_ALL=C dd if=/dev/zero of="$try" bs=65536 count=16 2>&1
rm -f "$try"
`

export function parseRoom({ stdout }: Output): Said {
  if (/no space left/i.test(stdout)) return SAID_OF.full
  if (/quota/i.test(stdout)) return SAID_OF.quota
  if (/permission denied/i.test(stdout)) return SAID_OF.forbidden
  if (/read-only/i.test(stdout)) return SAID_OF.readOnly
  return SAID_OF.other
}
