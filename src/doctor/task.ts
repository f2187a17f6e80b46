import type { NativeId, TaskEnding, TaskReport } from '../../connectors/connector.ts'
import { quote, quoteWords } from '../../connectors/quote.ts'
import { formatSeconds } from '../model/format.ts'
import type { Ledger } from './report.ts'
import { medianOf, pairsOf, roundedMs, type SiteAtHand, timed, troubleOf, type Wishes } from './site-at-hand.ts'
import {
  endedFindings,
  MEMORY_BYTES,
  NO_DIRECTORY,
  type Outcome,
  proofFindings,
  type Ran,
  waitingFindings,
} from './task-findings.ts'

const ARRAY = 'task'
const WALLTIME_SEC = 300
const LOOK_MS = 1000
/** After a task has ended its proof may be on the way for so long: shared file systems show new files late. */
const GRACE_MS = 15_000
const STATUS_LOOKS = 5
const ENDING_LOOKS = 3

/** What a task sees, by one array of one task, asked for as a run asks, five minutes long. Cancelled when it does not start in time. */
export async function checkTask(hand: SiteAtHand, ledger: Ledger, wishes: Wishes): Promise<void> {
  const { clock, connector } = hand
  const node = await provenNode(hand, ledger, wishes)
  if (node === undefined) return
  if (!wishes.job) {
    ledger.add('ok', 'node', `Node ${node.version} runs where you log in`, null)
    ledger.add('note', 'task', 'no task was submitted (--no-job)', 'what nodes see is not known')
    return
  }
  const submittedAt = clock.now()
  const id = await submitted(hand, ledger, { node: node.argv, wishes })
  if (id === undefined) return
  const statusMs: number[] = []
  let isOver = false
  try {
    const outcome = await followed(hand, id, { wishes, statusMs })
    isOver = outcome.hasEnded
    await taskFindings({ hand, ledger, id, submittedAt }, outcome)
    while (statusMs.length < STATUS_LOOKS) {
      const report = await look(hand, id, statusMs)
      isOver ||= report === undefined || report.state === 'ended'
    }
  } catch (error) {
    wishes.signal.throwIfAborted()
    const { said, hint } = troubleOf(error)
    ledger.add('fail', 'task', said, hint)
  } finally {
    ledger.measured.status_ms = roundedMs(medianOf(statusMs))
    if (!isOver) await connector.cancel(id).catch(() => undefined)
  }
}

/** Node and the runner are put where runs find them, and Node has told its version there. */
async function provenNode(
  { site, transport }: SiteAtHand,
  ledger: Ledger,
  { tell, signal }: Wishes,
): Promise<{ argv: readonly string[]; version: string } | undefined> {
  tell('putting Node and the runner into the cache of the site')
  try {
    const argv = (await site.runner()).slice(0, -1)
    signal.throwIfAborted()
    const { stdout } = await transport.run(`${quoteWords(argv)} -p process.versions.node`, {
      signal,
      timeoutMs: 120_000,
    })
    ledger.measured.node_version = stdout.trim()
    return { argv, version: stdout.trim() }
  } catch (error) {
    signal.throwIfAborted()
    const { said, hint } = troubleOf(error)
    ledger.add('fail', 'node', said, hint)
    return undefined
  }
}

async function submitted(
  hand: SiteAtHand,
  ledger: Ledger,
  { node, wishes }: { node: readonly string[]; wishes: Wishes },
): Promise<NativeId | undefined> {
  const { site, transport, ground, clock, id } = hand
  const directory = `${ground}/${ARRAY}`
  wishes.tell('submitting a task')
  try {
    await site.makeArray(ARRAY)
    const script = `${directory}/proof.sh`
    const { exit, stderr } = await transport.run(
      `umask 077; printf '%s' ${quote(proofScript(directory, node, hand.setting.container))} >${quote(script)}`,
    )
    if (exit !== 0) {
      ledger.add('fail', 'task', `${script} could not be written: ${stderr.trim()}`, null)
      return undefined
    }
    const terms = await site.shape({ cpus: 1, memory_bytes: MEMORY_BYTES, walltime_sec: null, gpus: 0 })
    const { value, ms } = await timed(clock, () =>
      site.submit({
        ...terms,
        ...{ name: `floe-doctor-${id.slice(0, 8)}`, directory, count: 1, command: ['/bin/sh', script] },
        walltimeSec: WALLTIME_SEC,
      }),
    )
    ledger.measured.submit_ms = roundedMs(ms)
    ledger.measured.native_id = value
    return value
  } catch (error) {
    const { said, hint } = troubleOf(error)
    ledger.add('fail', 'task', said, hint)
    return undefined
  }
}

/** Runs in a task before anything of floe does. The file appears whole. */
const proofScript = (directory: string, node: readonly string[], container: string | null): string => `
cd ${quote(directory)} || exit ${NO_DIRECTORY}
say() { printf '%s=%s\\n' "$1" "$2"; }
flat() { tail -n 4 | tr '\\n' ' '; }
{
  say host "$(hostname 2>/dev/null || uname -n)"
  say time "$(date +%s)"
  say tmpdir "\${TMPDIR:-}"
  tmp="\${FLOE_TMPDIR:-\${TMPDIR:-}}"
  say tmp "$tmp"
  [ -z "$tmp" ] || say tmp_kb "$(df -Pk "$tmp" 2>/dev/null | awk 'NR == 2 {print $4}')"
  say glibc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
  say address_kb "$(ulimit -v)"
  # Ports 9866 and 9867, where data nodes listen, and 50010 of older ones.
  say data_node "$(awk '$4 == "0A" && $2 ~ /:(268A|268B|C35A)$/ { found = 1 } END { if (found) print "yes" }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)"
  say node "$(${quoteWords(node)} -p process.versions.node 2>&1 | flat)"
${container === null ? '' : `  say container "$(${quote(container)} --version 2>/dev/null | flat)"\n`}} >.proof.$$
mv .proof.$$ proof
`

async function look(
  { clock, connector }: SiteAtHand,
  id: NativeId,
  statusMs: number[],
): Promise<TaskReport | undefined> {
  const { value, ms } = await timed(clock, () => connector.status(new Map([[id, 1]])))
  statusMs.push(ms)
  return value.find((report) => report.id === id)
}

async function followed(
  hand: SiteAtHand,
  id: NativeId,
  { wishes, statusMs }: { wishes: Wishes; statusMs: number[] },
): Promise<Outcome> {
  const { clock, connector } = hand
  const from = clock.ticks()
  let endedAt: number | undefined
  for (;;) {
    wishes.signal.throwIfAborted()
    const proof = await readProof(hand, wishes.signal)
    const last = await look(hand, id, statusMs)
    const waitedSec = (clock.ticks() - from) / 1000
    const isGone = last === undefined || last.state === 'ended'
    if (proof) return { proof, last, hasEnded: isGone, waitedSec }
    endedAt = isGone ? (endedAt ?? clock.ticks()) : undefined
    if (endedAt !== undefined && clock.ticks() - endedAt > GRACE_MS) return { proof, last, hasEnded: true, waitedSec }
    if (endedAt === undefined && waitedSec >= wishes.waitSec) return { proof, last, hasEnded: false, waitedSec }
    const why = last?.reason == null ? '' : `: ${connector.waiting(last.reason).sentence}`
    const state = isGone ? 'ended' : last.state
    wishes.tell(`task ${id} is ${state}${why} (${formatSeconds(waitedSec)} of ${formatSeconds(wishes.waitSec)})`)
    await clock.sleep(LOOK_MS, wishes.signal)
  }
}

async function readProof({ transport, ground }: SiteAtHand, signal: AbortSignal): Promise<Outcome['proof']> {
  const { stdout } = await transport.run(
    `cd ${quote(`${ground}/${ARRAY}`)} && ls >/dev/null && cat proof 2>/dev/null; :`,
    {
      signal,
      timeoutMs: 60_000,
    },
  )
  return stdout === '' ? undefined : pairsOf(stdout)
}

async function taskFindings(ran: Ran, outcome: Outcome): Promise<void> {
  const { ledger, hand } = ran
  ledger.measured.waited_sec = Math.round(outcome.waitedSec * 10) / 10
  if (outcome.proof) {
    proofFindings(ran, outcome.proof)
    await timeAccounting(ran)
  } else if (outcome.hasEnded) {
    const ending = await timeAccounting(ran)
    const printed = await printedBy(hand)
    endedFindings(ran, { ending, printed, last: outcome.last })
  } else waitingFindings(ran, outcome)
}

/** Asks the accounts as a run does; the last answer counts. */
async function timeAccounting({ hand, ledger, id }: Ran): Promise<TaskEnding | undefined> {
  if (!ledger.limits?.hasAccounting) return undefined
  const took: number[] = []
  let ending: TaskEnding | undefined
  for (let count = 0; count < ENDING_LOOKS; count++) {
    const { value, ms } = await timed(hand.clock, () => hand.connector.endings([id]))
    ending = value.find((one) => one.id === id) ?? ending
    took.push(ms)
  }
  ledger.measured.accounting_ms = roundedMs(medianOf(took))
  return ending
}

/** What the task printed last, if it came so far. */
async function printedBy({ transport, ground }: SiteAtHand): Promise<string> {
  const { stdout } = await transport.run(`tail -n 3 ${quote(`${ground}/${ARRAY}/tasks.log`)} 2>/dev/null; :`)
  return stdout.trim().replace(/\s+/g, ' ')
}
