import { quote } from '../../connectors/quote.ts'
import { FloeError } from '../model/errors.ts'
import { type DoctorReport, Ledger, toLimitsReport } from './report.ts'
import { checkReplies, checkScheduler, intervalFor } from './scheduler.ts'
import { checkScratch } from './scratch.ts'
import type { SiteAtHand, Wishes } from './site-at-hand.ts'
import { checkTask } from './task.ts'
import { checkClock, checkWay } from './way.ts'

export { profileFile, readProfile, writeProfile } from './profile.ts'
export {
  type DoctorReport,
  type Finding,
  type FindingLevel,
  type FindingSubject,
  type LimitsReport,
  type Measured,
  toSiteLimits,
} from './report.ts'
export { intervalFor } from './scheduler.ts'
export type { SiteAtHand } from './site-at-hand.ts'
export { examineThisMachine } from './this-machine.ts'

export interface ExamineOptions {
  /** False: no task is submitted. */
  readonly job?: boolean
  /** Seconds that the task may wait for its start; 120 by default. */
  readonly waitSec?: number
  /** What is being done, now and then. */
  readonly onProgress?: (doing: string) => void
  readonly signal?: AbortSignal
}

const WAIT_SEC = 120

/**
 * Looks what a site is and can do, by doing it: each finding was measured. Makes a directory below scratch and submits one task at most; both
 * are gone afterwards, also when it is interrupted (then INTERRUPTED is thrown). Node and the runner stay in the cache of the site, as after
 * a run. What does not work is a finding, never an error.
 */
export async function examine(hand: SiteAtHand, options: ExamineOptions = {}): Promise<DoctorReport> {
  const { job = true, waitSec = WAIT_SEC, onProgress: tell = () => {}, signal = new AbortController().signal } = options
  const wishes: Wishes = { job, waitSec, tell, signal }
  const ledger = new Ledger()
  const checkedAt = new Date(hand.clock.now()).toISOString()
  try {
    if (await checkWay(hand, ledger, wishes)) await checkInside(hand, ledger, wishes)
  } catch (error) {
    if (!signal.aborted) throw error
    throw new FloeError('INTERRUPTED', `The look at ${hand.setting.name} was interrupted.`, {
      hint: 'What it had made there was removed; run it again.',
      cause: error,
    })
  }
  checkReplies(hand, ledger)
  const { measured, limits } = ledger
  const { setting, transport } = hand
  return {
    site: setting.name,
    connector: setting.connector,
    where: transport.where,
    version: limits?.version ?? null,
    checked_at: checkedAt,
    usable: !ledger.has('fail'),
    interval_sec: intervalFor(setting.intervalSec, measured),
    findings: ledger.findings,
    measured,
    limits: limits && toLimitsReport(limits),
  }
}

async function checkInside(hand: SiteAtHand, ledger: Ledger, wishes: Wishes): Promise<void> {
  const hasScheduler = await checkScheduler(hand, ledger, wishes)
  wishes.signal.throwIfAborted()
  await checkClock(hand, ledger, wishes)
  try {
    const hasScratch = await checkScratch(hand, ledger, wishes)
    if (hasScratch && hasScheduler) await checkTask(hand, ledger, wishes)
  } finally {
    await removeGround(hand)
  }
}

/** The folders above go when nothing else is in them. A task that is being ended may write for a moment yet. */
async function removeGround({ transport, ground, setting }: SiteAtHand): Promise<void> {
  const above = [`${setting.scratch}/floe/doctor`, `${setting.scratch}/floe`]
  const script = `rm -rf ${quote(ground)} 2>/dev/null || { sleep 2; rm -rf ${quote(ground)}; }\nrmdir ${above.map(quote).join(' ')} 2>/dev/null\n:`
  await transport.run(script, { timeoutMs: 60_000 }).catch(() => undefined)
}
