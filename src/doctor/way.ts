import { formatCounted, formatSeconds } from '../model/format.ts'
import type { Ledger } from './report.ts'
import { medianOf, roundedMs, type SiteAtHand, timed, troubleOf, type Wishes } from './site-at-hand.ts'

/** Sessions that are tried at most. */
const SESSIONS_MAX = 10
/** Clocks that differ by less agree. */
const AGREE_SEC = 2
const CLOCK_LOOKS = 5
const TRIPS = 3

/** How the site is reached. False: it is not. */
export async function checkWay(
  { transport, setting, clock }: SiteAtHand,
  ledger: Ledger,
  wishes: Wishes,
): Promise<boolean> {
  wishes.tell(`asking at ${transport.where}`)
  const { signal } = wishes
  try {
    const survey = await transport.survey?.(SESSIONS_MAX, { signal, timeoutMs: 300_000 })
    const trips: number[] = []
    for (let trip = 0; trip < TRIPS; trip++) {
      trips.push((await timed(clock, () => transport.run(':', { signal, timeoutMs: 60_000 }))).ms)
    }
    ledger.measured.trip_ms = roundedMs(medianOf(trips))
    if (!survey) return true
    ledger.measured.login = survey.login
    ledger.measured.sessions = survey.sessions
    const { sessions, isMore, used } = survey
    const found = `${isMore ? 'at least ' : ''}${formatCounted(sessions, 'session')} at once`
    if (sessions >= used) ledger.add('ok', 'sessions', `the SSH server allows ${found}`, `floe uses ${used}`)
    else {
      ledger.add(
        'warn',
        'sessions',
        `the SSH server allows ${found}, and floe uses ${used}`,
        `set \`channels: ${sessions}\` under \`ssh:\` of ${setting.name}`,
      )
    }
    if (survey.noise !== '') {
      const words = survey.noise.replace(/\s+/g, ' ')
      const shown = words.length > 40 ? `${words.slice(0, 40)}…` : words
      ledger.add('note', 'login', `logins print "${shown}"`, 'floe keeps it out of the answers')
    }
    return true
  } catch (error) {
    signal.throwIfAborted()
    const { said, hint } = troubleOf(error)
    ledger.add('fail', 'way', said, hint)
    return false
  }
}

/** How far the site's clock is from this machine's, half of the round trip taken off; of several looks the quickest counts. */
export async function checkClock({ transport, clock }: SiteAtHand, ledger: Ledger, wishes: Wishes): Promise<void> {
  if (transport.isHere) return
  const looks: { offMs: number; tripMs: number }[] = []
  for (let look = 0; look < CLOCK_LOOKS; look++) {
    const from = clock.now()
    const { stdout } = await transport.run("date '+%s.%N'", { signal: wishes.signal, timeoutMs: 60_000 })
    const to = clock.now()
    // Where date knows no %N it prints the letter.
    const there = Number.parseFloat(stdout)
    if (Number.isFinite(there)) looks.push({ offMs: there * 1000 - (from + to) / 2, tripMs: to - from })
  }
  const best = looks.sort((a, b) => a.tripMs - b.tripMs)[0]
  if (!best) return
  const offSec = best.offMs / 1000
  ledger.measured.clock_sec = Math.round(offSec * 1000) / 1000
  if (Math.abs(offSec) < Math.max(AGREE_SEC, best.tripMs / 2000)) {
    ledger.add('ok', 'clock', 'its clock agrees with this machine', null)
    return
  }
  ledger.add(
    'warn',
    'clock',
    `clock ${formatSeconds(Math.abs(offSec))} ${offSec < 0 ? 'behind' : 'ahead of'} this machine`,
    'no decision rests on it; `floe show` corrects times by it',
  )
}
