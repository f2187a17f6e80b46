import { quote } from '../../connectors/quote.ts'
import { formatBytes, formatCount } from '../model/format.ts'
import type { Ledger } from './report.ts'
import { pairsOf, type SiteAtHand, troubleOf, type Wishes } from './site-at-hand.ts'

const SPACE_WARN_BYTES = 2e9
const FILES_WARN = 10_000

/** Whether the scratch directory does what floe needs of it. False: it does not. Makes `ground` there. */
export async function checkScratch(hand: SiteAtHand, ledger: Ledger, { tell, signal }: Wishes): Promise<boolean> {
  const { transport, setting, ground } = hand
  tell(`trying ${setting.scratch}`)
  try {
    const { stdout } = await transport.run(scratchScript(setting.scratch, ground), { signal, timeoutMs: 120_000 })
    return scratchFindings(pairsOf(stdout), setting, ledger)
  } catch (error) {
    signal.throwIfAborted()
    const { said, hint } = troubleOf(error)
    ledger.add('fail', 'scratch', said, hint)
    return false
  }
}

/** Two openings of one file exclude each other where locks work; a second link to one name must be refused. */
const scratchScript = (scratch: string, ground: string): string => `
say() { printf '%s=%s\\n' "$1" "$2"; }
last() { tail -n 1; }
cd ${quote(scratch)} 2>/dev/null || { [ -e ${quote(scratch)} ] && say state closed || say state absent; exit; }
say free_kb "$(df -Pk . | awk 'NR == 2 {print $4}')"
say free_files "$(df -Pi . | awk 'NR == 2 {print $4}')"
umask 077
said=$(mkdir -p ${quote(ground)} 2>&1 | last)
[ -d ${quote(ground)} ] || { say state unwritable; say said "$said"; exit; }
cd ${quote(ground)}
said=$( (echo one >one) 2>&1 | last)
[ -s one ] || { say state unwritable; say said "$said"; exit; }
said=$(ln one two 2>&1 | last)
[ -e two ] && say link ok || { say link no; say said "$said"; }
ln one two 2>/dev/null && say relink yes
mv one three 2>/dev/null && [ -s three ] && say rename ok
if command -v flock >/dev/null 2>&1; then
  exec 9>lock
  flock -n 9 2>/dev/null && first=yes || first=no
  (exec 8>lock; flock -n 8 2>/dev/null) && second=yes || second=no
  exec 9>&-
  say locks "$first $second"
fi
say state open
`

export function scratchFindings(
  seen: ReadonlyMap<string, string>,
  { scratch, name }: SiteAtHand['setting'],
  ledger: Ledger,
): boolean {
  const correct = `correct \`scratch:\` of ${name} in sites.yaml`
  const fail = (found: string, floe: string): false => {
    ledger.add('fail', 'scratch', found, floe)
    return false
  }
  const said = seen.get('said') ?? ''
  switch (seen.get('state')) {
    case 'absent':
      return fail(`${scratch} is not there`, `${correct}, or make it`)
    case 'closed':
      return fail(`${scratch} is no directory that you may enter`, correct)
    case 'unwritable': {
      const isFull = /No space left|quota/i.test(said)
      return fail(
        `${scratch} cannot be written: ${said}`,
        isFull ? 'free some space there' : `${correct}, or make it writable for you`,
      )
    }
    case 'open':
      break
    default:
      return fail(
        `the shell there ended before ${scratch} was tried`,
        'look whether the site limits processes of login nodes',
      )
  }
  if (seen.get('link') !== 'ok')
    return fail(`${scratch} does not make links: ${said}`, `floe needs them to submit and publish once; ${correct}`)
  if (seen.get('relink') === 'yes')
    return fail(`${scratch} lets a link replace another`, `floe needs links that exclude each other; ${correct}`)
  if (seen.get('rename') !== 'ok') return fail(`${scratch} does not rename files`, correct)
  spaceFindings(seen, ledger)
  lockFindings(seen.get('locks'), ledger)
  return true
}

function spaceFindings(seen: ReadonlyMap<string, string>, ledger: Ledger): void {
  const number = (key: string): number | null => (/^\d+$/.test(seen.get(key) ?? '') ? Number(seen.get(key)) : null)
  const kilobytes = number('free_kb')
  const bytes = kilobytes === null ? null : kilobytes * 1024
  // Some file systems count no files and say 0 for all.
  const files = number('free_files') || null
  ledger.measured.free_bytes = bytes
  ledger.measured.free_files = files
  const amounts = [bytes !== null && formatBytes(bytes), files !== null && `${formatCount(files)} files`].filter(
    Boolean,
  )
  const free = amounts.length === 0 ? 'free space is not told' : `${amounts.join(' and ')} free`
  const isLow = (bytes !== null && bytes < SPACE_WARN_BYTES) || (files !== null && files < FILES_WARN)
  if (isLow) ledger.add('warn', 'space', `scratch: ${free}`, 'free some, or name another `scratch:`')
  else ledger.add('ok', 'space', `scratch: ${free}`, 'a quota of yours may allow less')
}

function lockFindings(said: string | undefined, ledger: Ledger): void {
  if (said === 'yes no') ledger.add('ok', 'locks', 'links, renames and locks work there', null)
  else if (said === 'yes yes') {
    const still = 'the link of the first task still keeps one of two submissions'
    ledger.add('warn', 'locks', 'links work there; locks exclude nobody', still)
  } else {
    const why = said === undefined ? 'there is no `flock`' : 'locks do not'
    ledger.add('note', 'locks', `links and renames work there; ${why}`, 'floe makes lock directories instead')
  }
}
