import type { QueueLimits, SiteLimits } from '../../connectors/connector.ts'
import { quote } from '../../connectors/quote.ts'
import type { SiteSetting } from '../config/config.ts'
import { formatCount, formatCounted, formatSeconds } from '../model/format.ts'
import { nearest } from '../model/nearest.ts'
import { intervalAfter } from '../model/pace.ts'
import type { Ledger, Measured } from './report.ts'
import { medianOf, roundedMs, type SiteAtHand, timed, troubleOf, type Wishes } from './site-at-hand.ts'

const LIMITS_LOOKS = 3
const QUEUES_SHOWN = 6

/** What the scheduler says of itself. False: it says nothing, or is not there. */
export async function checkScheduler(hand: SiteAtHand, ledger: Ledger, { tell }: Wishes): Promise<boolean> {
  const { connector, site, clock, setting } = hand
  tell('reading the limits of the scheduler')
  const took: number[] = []
  try {
    for (let look = 0; look < LIMITS_LOOKS; look++) {
      const { value, ms } = await timed(clock, () => connector.siteLimits())
      ledger.limits = value
      took.push(ms)
    }
    ledger.measured.limits_ms = roundedMs(medianOf(took))
    const limits = ledger.limits!
    const { openMax } = await site.limits()
    ledger.add('ok', 'arrays', arraysText(limits), `floe keeps ${formatCounted(openMax, 'task')} there at most`)
    queueFindings(setting, limits, ledger)
    accountFindings(setting, limits, ledger)
    policyFindings(limits, ledger)
    return true
  } catch (error) {
    const { said, hint } = troubleOf(error)
    ledger.add('fail', 'scheduler', said, (await otherScheduler(hand)) ?? hint)
    return false
  }
}

function arraysText({ arrayMax, queuedMax }: SiteLimits): string {
  const queued = queuedMax === null ? 'no limit of tasks is known' : `${formatCount(queuedMax)} submitted at once`
  return `arrays of up to ${formatCounted(arrayMax, 'task')}; ${queued}`
}

export function queueFindings({ queue, task, name }: SiteSetting, { queues }: SiteLimits, ledger: Ledger): void {
  if (queues.length === 0) return
  const names = queues.map((one) => one.name)
  // Slurm takes several, and starts a task in the first that has room.
  const wanted = queue?.split(',').filter(Boolean) ?? []
  const unknown = wanted.find((one) => !names.includes(one))
  if (unknown !== undefined) {
    const meant = nearest(unknown, names)
    const hint =
      meant === undefined ? `set \`queue:\` of ${name} to one of ${names.join(', ')}` : `did you mean ${meant}?`
    ledger.add('fail', 'queue', `there is no queue ${unknown}`, hint)
    return
  }
  const shown = queues.slice(0, QUEUES_SHOWN).map(queueText)
  const more = queues.length > QUEUES_SHOWN ? [`and ${queues.length - QUEUES_SHOWN} more`] : []
  const used =
    wanted.length > 1
      ? undefined
      : queues.find(({ name: one, isDefault }) => (wanted.length === 0 ? isDefault : one === queue))
  ledger.add(
    'note',
    'queue',
    `queues ${[...shown, ...more].join(', ')}`,
    used === undefined
      ? `the scheduler chooses ${wanted.length > 1 ? `of ${wanted.join(', ')}` : 'one'}`
      : `floe submits to ${used.name}`,
  )
  if (used?.walltimeMaxSec != null && task.walltimeSec !== null && used.walltimeMaxSec < task.walltimeSec) {
    const most = formatSeconds(used.walltimeMaxSec)
    const found = `queue ${used.name} ends tasks after ${most}, and tasks ask for ${formatSeconds(task.walltimeSec)}`
    // Longer than jobs need is a wish, and cut; a job that needs more is refused before anything is submitted.
    ledger.add('warn', 'queue', found, `floe asks for ${most}; another \`queue:\` of ${name} may give more`)
  }
  if (used?.cpusMax != null && used.cpusMax < task.cpus) {
    const found = `a node of queue ${used.name} has ${formatCounted(used.cpusMax, 'core')}, and tasks ask for ${task.cpus}`
    ledger.add('fail', 'queue', found, `set \`task: {cpus: ${used.cpusMax}}\` or another \`queue:\` for ${name}`)
  }
}

const queueText = ({ name, walltimeMaxSec, queuedMax }: QueueLimits): string => {
  const walltime = walltimeMaxSec === null ? 'no limit' : formatSeconds(walltimeMaxSec)
  return `${name} (${walltime}${queuedMax === null ? '' : `, ${formatCounted(queuedMax, 'task')} submitted`})`
}

export function accountFindings({ account, name }: SiteSetting, { accounts }: SiteLimits, ledger: Ledger): void {
  if (accounts.length === 0) return
  if (account !== null && !accounts.includes(account)) {
    const found = `you have no account ${account}`
    ledger.add('fail', 'account', found, `set \`account:\` of ${name} to one of ${accounts.join(', ')}`)
  } else if (account === null && accounts.length > 1) {
    const found = `you have accounts ${accounts.join(', ')}`
    ledger.add('note', 'account', found, `the default pays; \`account:\` of ${name} names another`)
  }
}

export function policyFindings({ forgetsAfterSec, hasAccounting, notes }: SiteLimits, ledger: Ledger): void {
  if (hasAccounting && forgetsAfterSec !== null) {
    const kept =
      forgetsAfterSec === 0
        ? 'ended tasks leave the queue at once'
        : `ended tasks are listed for ${formatSeconds(forgetsAfterSec)}`
    ledger.add('note', 'policy', `${kept}; accounts are kept`, 'floe asks the accounts how a task ended')
  }
  for (const note of notes) {
    // Each is a sentence that may say in its second half what floe does.
    const [, found, floe] = /^(.*?)[;:] (floe .*|how .*)$/.exec(note.replace(/\.$/, '')) ?? [
      undefined,
      note.replace(/\.$/, ''),
      null,
    ]
    ledger.add(
      'note',
      'policy',
      found!.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase()),
      floe ?? null,
    )
  }
}

/** Seconds between two looks of a run: those of sites.yaml, or as many as keep a slow scheduler idle enough. The way to it is not its work. */
export function intervalFor(intervalSec: number, { status_ms, limits_ms, trip_ms }: Measured): number {
  const own = Math.max(0, (status_ms ?? limits_ms ?? 0) - (trip_ms ?? 0))
  return Math.ceil(intervalAfter(intervalSec, own / 1000))
}

export function checkReplies({ setting, transport }: SiteAtHand, ledger: Ledger): void {
  const { limits_ms, submit_ms, status_ms, accounting_ms, trip_ms } = ledger.measured
  const known = [submit_ms, status_ms, accounting_ms, limits_ms].filter((ms) => ms !== null)
  if (known.length === 0) return
  const [least, most] = [replyText(Math.min(...known)), replyText(Math.max(...known))]
  const way = transport.isHere || trip_ms === null ? '' : `, of which ${replyText(trip_ms)} on the way`
  const found = `the scheduler answers in ${least === most ? most : `${least} to ${most}`}${way}`
  const intervalSec = intervalFor(setting.intervalSec, ledger.measured)
  const every = (sec: number): string => (sec < 10 ? `${sec} s` : formatSeconds(sec))
  const isSlow = intervalSec > setting.intervalSec
  const instead = isSlow ? ` instead of ${every(setting.intervalSec)}` : ''
  ledger.add(isSlow ? 'warn' : 'ok', 'replies', found, `floe looks every ${every(intervalSec)}${instead}`)
}

const replyText = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : formatSeconds(ms / 1000))

const COMMANDS = {
  slurm: { command: 'sbatch', scheduler: 'Slurm' },
  sge: { command: 'qconf', scheduler: 'Grid Engine' },
  pbs: { command: 'qselect', scheduler: 'PBS' },
} as const

/** Whose commands are there, when it is not the scheduler that sites.yaml names. */
async function otherScheduler({ transport, setting }: SiteAtHand): Promise<string | null> {
  const lines = Object.entries(COMMANDS).map(
    ([connector, { command }]) => `command -v ${command} >/dev/null 2>&1 && printf '%s\\n' ${connector}`,
  )
  const setup = setting.setup.length === 0 ? ':' : `eval ${quote(setting.setup.join('\n'))}`
  const script = `{ ${setup}; } >/dev/null 2>&1 </dev/null\n${lines.join('\n')}\n:`
  const there = await transport.run(script, { timeoutMs: 60_000 }).catch(() => undefined)
  const found = there?.stdout.split('\n').filter((name) => name !== '') ?? []
  const [other] = found
  if (other === undefined || found.includes(setting.connector)) return null
  const { command, scheduler } = COMMANDS[other as keyof typeof COMMANDS]
  return `\`${command}\` of ${scheduler} is there: is it \`connector: ${other}\`?`
}
