import type { NativeId, TaskEnding, TaskReport } from '../../connectors/connector.ts'
import { formatBytes, formatSeconds } from '../model/format.ts'
import type { Ledger } from './report.ts'
import type { SiteAtHand } from './site-at-hand.ts'

/** Of the job that the task stands for: schedulers that limit address space by it show whether Node starts then. */
export const MEMORY_BYTES = 2 ** 30
/** Exits of a task that does not see its directory, or cannot write there; see the job script. */
export const NO_DIRECTORY = 72
const NO_OWNER = 73

/** How far a task came. */
export interface Outcome {
  readonly proof: ReadonlyMap<string, string> | undefined
  readonly last: TaskReport | undefined
  readonly hasEnded: boolean
  readonly waitedSec: number
}

export interface Ran {
  readonly hand: SiteAtHand
  readonly ledger: Ledger
  readonly id: NativeId
  /** This machine's clock. */
  readonly submittedAt: number
}

/** What the task wrote, which it can only where it sees scratch. */
export function proofFindings(ran: Ran, proof: ReadonlyMap<string, string>): void {
  const { hand, ledger } = ran
  const { setting, transport } = hand
  const { measured } = ledger
  const host = proof.get('host') || 'a node'
  measured.node_host = host
  measured.glibc = proof.get('glibc')?.replace(/^glibc /, '') || null
  const seen = `${setting.scratch} is seen by ${transport.isHere ? 'this machine' : 'the login node'} and ${host}`
  ledger.add('ok', 'task', `${seen}; a task started in ${formatSeconds(measured.waited_sec ?? 0)}`, disk(proof))
  nodeFindings(ran, proof, host)
  dataNodeFinding(ran, proof, host)
  containerFinding(ran, proof, host)
  clockFinding(ran, proof, host)
}

function nodeFindings({ hand, ledger }: Ran, proof: ReadonlyMap<string, string>, host: string): void {
  const { setting } = hand
  const said = proof.get('node') ?? ''
  const version = /^(\d+\.\d+\.\d+)\s*$/.exec(said)?.[1]
  const kilobytes = Number(proof.get('address_kb'))
  const limit = kilobytes > 0 ? `its address space is limited to ${formatBytes(kilobytes * 1024)}` : undefined
  const limited = `a task that asks ${formatBytes(MEMORY_BYTES)} for its job: ${limit}`
  if (version !== undefined) {
    const glibc = ledger.measured.glibc === null ? '' : ` (glibc ${ledger.measured.glibc})`
    const from = setting.node === null ? 'floe keeps it in its cache there' : null
    ledger.add('ok', 'node', `Node ${version} runs on ${host}${glibc}`, from)
    if (limit !== undefined) ledger.add('note', 'memory', limited, 'Node starts in that')
    return
  }
  const hint = limit === undefined ? `set \`node:\` of ${setting.name} to a Node that runs there` : null
  const words = said.replace(/[#\s]+/g, ' ').trim() || 'it says nothing'
  ledger.add('fail', 'node', `Node does not run on ${host}: ${words}`, hint)
  if (limit === undefined) return
  const memory = `set \`memory:\` of ${setting.name} to a resource that does not limit address space, such as mem_free`
  ledger.add('fail', 'memory', limited, memory)
}

/** What tasks near their data need to be told. */
function dataNodeFinding({ hand, ledger }: Ran, proof: ReadonlyMap<string, string>, host: string): void {
  const { name, dataNodesOf } = hand.setting
  const isFound = proof.get('data_node') === 'yes'
  if (dataNodesOf.length > 0 && isFound)
    ledger.add('ok', 'node', `${host} is a data node of HDFS`, 'tasks run where their inputs lie')
  else if (isFound) {
    const hint = `name its name node in \`data_nodes_of:\` of ${name}, and tasks run where their inputs lie`
    ledger.add('note', 'node', `${host} is a data node of HDFS`, hint)
  }
}

function containerFinding({ hand, ledger }: Ran, proof: ReadonlyMap<string, string>, host: string): void {
  const { container } = hand.setting
  if (container === null) return
  const said = proof.get('container')?.trim() ?? ''
  if (said !== '') ledger.add('ok', 'container', `${said} runs images on ${host}`, null)
  else {
    const found = `${container} does not run on ${host}`
    ledger.add('warn', 'container', found, 'jobs with `container:` need a `setup:` that puts it on PATH there')
  }
}

function clockFinding({ hand, ledger, submittedAt }: Ran, proof: ReadonlyMap<string, string>, host: string): void {
  const offSec = clockOf(Number(proof.get('time')), { fromSec: submittedAt / 1000, toSec: hand.clock.now() / 1000 })
  if (offSec === 0) return
  const way = offSec < 0 ? 'behind' : 'ahead of'
  const found = `the clock of ${host} is ${formatSeconds(Math.abs(offSec))} or more ${way} this machine`
  ledger.add('warn', 'clock', found, 'no decision rests on it; times of records are those of the node')
}

const disk = (proof: ReadonlyMap<string, string>): string => {
  const tmp = proof.get('tmp')
  if (!tmp) return 'it sets no TMPDIR and has no room in /tmp: jobs run in directories on scratch'
  const kilobytes = Number(proof.get('tmp_kb'))
  const free = kilobytes > 0 ? ` (${formatBytes(kilobytes * 1024)} free)` : ''
  return proof.get('tmpdir') ? `jobs run in TMPDIR, ${tmp}${free}` : `it sets no TMPDIR: jobs run in ${tmp}${free}`
}

/** How far a clock is off at least, that said `sec` at some moment between two of ours; 0: it may be right. */
export function clockOf(sec: number, { fromSec, toSec }: { fromSec: number; toSec: number }): number {
  const AGREE_SEC = 2
  if (!Number.isFinite(sec) || sec === 0) return 0
  if (sec < fromSec - AGREE_SEC) return sec - fromSec
  return sec > toSec + AGREE_SEC ? sec - toSec : 0
}

export function endedFindings(
  { hand, ledger, id }: Ran,
  { ending, printed, last }: { ending: TaskEnding | undefined; printed: string; last: TaskReport | undefined },
): void {
  const { setting } = hand
  const node = ending?.node ?? 'its node'
  if (ending?.exit === NO_DIRECTORY) {
    const hint = `name a directory that login and compute nodes share as \`scratch:\` of ${setting.name}`
    ledger.add('fail', 'task', `${node} does not see ${setting.scratch}`, hint)
    return
  }
  if (ending?.exit === NO_OWNER) {
    const hint = `make it writable there, or correct \`scratch:\` of ${setting.name}`
    ledger.add('fail', 'task', `${node} cannot write to ${setting.scratch}`, hint)
    return
  }
  const exit = ending?.exit ? `, exit ${ending.exit}` : ''
  const word = ending === undefined ? (last?.reason ?? 'no word of why') : `${ending.word}${exit}`
  const said = printed === '' ? '' : `; it printed: ${printed}`
  const hint = `perhaps its node does not see ${setting.scratch}; the scheduler may say more of task ${id}`
  ledger.add('fail', 'task', `a task ended and left nothing (${word})${said}`, printed === '' ? hint : null)
}

export function waitingFindings({ hand, ledger, id }: Ran, { last, waitedSec }: Outcome): void {
  const since = formatSeconds(waitedSec)
  const longer = `\`floe doctor ${hand.setting.name} --wait 10m\` waits longer; this task was cancelled`
  if (last?.state === 'running') {
    ledger.add('warn', 'task', `task ${id} runs for ${since} and has shown nothing of itself`, longer)
    return
  }
  const waiting = last?.reason == null ? undefined : hand.connector.waiting(last.reason)
  const why = waiting === undefined ? 'it gives no reason' : waiting.sentence.replace(/\.$/, '')
  const isLost = waiting !== undefined && waiting.clears !== 'will clear'
  const found = `a task did not start within ${since}: ${why}`
  ledger.add(isLost ? 'fail' : 'warn', 'task', found, isLost ? 'ask the people who run the site' : longer)
}
