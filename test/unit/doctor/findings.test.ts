import { describe, expect, test } from 'vitest'
import type { SiteLimits } from '../../../connectors/connector.ts'
import type { Output, Transport } from '../../../connectors/transport/transport.ts'
import type { SiteSetting } from '../../../src/config/config.ts'
import { Ledger, toLimitsReport, toSiteLimits } from '../../../src/doctor/report.ts'
import { intervalFor, policyFindings, queueFindings } from '../../../src/doctor/scheduler.ts'
import { scratchFindings } from '../../../src/doctor/scratch.ts'
import type { SiteAtHand, Wishes } from '../../../src/doctor/site-at-hand.ts'
import { clockOf, endedFindings, proofFindings, type Ran, waitingFindings } from '../../../src/doctor/task-findings.ts'
import { checkClock, checkWay } from '../../../src/doctor/way.ts'

const setting = {
  ...{
    name: 'frost',
    connector: 'sge',
    scratch: '/scratch/alice',
    queue: null,
    account: null,
    node: null,
    container: null,
    dataNodesOf: [] as string[],
  },
  task: { cpus: 1, walltimeSec: 3600 },
  intervalSec: 10,
} as Partial<SiteSetting> as SiteSetting

const LIMITS: SiteLimits = {
  ...{
    version: 'Slurm 23.11.4',
    arrayMax: 1001,
    queuedMax: null,
    arraysMax: null,
    forgetsAfterSec: 300,
    hasAccounting: true,
  },
  queues: [
    {
      name: 'day',
      isDefault: true,
      walltimeMaxSec: 86_400,
      cpusMax: 4,
      memoryMaxBytes: 2e9,
      arrayMax: null,
      queuedMax: 7,
    },
    {
      name: 'long',
      isDefault: false,
      walltimeMaxSec: null,
      cpusMax: null,
      memoryMaxBytes: null,
      arrayMax: 9,
      queuedMax: null,
    },
  ],
  accounts: ['ice', 'fire'],
  notes: [],
}

/** A site whose commands print this, its clock so far off. */
function hand({ offSec = 0, tripMs = 0, prints = (_: string) => '' } = {}): SiteAtHand {
  let nowMs = 1_795_000_000_000
  const transport: Pick<Transport, 'where' | 'isHere' | 'run'> = {
    where: 'alice@login.frost',
    isHere: false,
    async run(script): Promise<Output> {
      nowMs += tripMs / 2
      const stdout = script.startsWith('date') ? `${(nowMs / 1000 + offSec).toFixed(9)}\n` : prints(script)
      nowMs += tripMs / 2
      return { exit: 0, stderr: '', stdout }
    },
  }
  const clock = { now: () => nowMs, ticks: () => nowMs, sleep: async () => {}, uuid: () => 'id' }
  const waiting = (reason: string) =>
    reason === 'Resources'
      ? { sentence: 'it is next', clears: 'will clear' as const }
      : { sentence: 'nobody has such a node.', clears: 'never' as const }
  return { setting, transport, clock, connector: { waiting } } as unknown as SiteAtHand
}

const wishes: Wishes = { job: true, waitSec: 1, tell: () => {}, signal: new AbortController().signal }
const told = (ledger: Ledger): string[] =>
  ledger.findings.map(({ level, found, floe }) => `${level}: ${found}${floe === null ? '' : ` → ${floe}`}`)
const findings = (find: (ledger: Ledger) => void): string[] => {
  const ledger = new Ledger()
  find(ledger)
  return told(ledger)
}

describe('clocks', () => {
  async function clocks(wish: Parameters<typeof hand>[0]) {
    const ledger = new Ledger()
    await checkClock(hand(wish), ledger, wishes)
    return { told: told(ledger), sec: ledger.measured.clock_sec }
  }

  test('that differ are told with half of the round trip taken off', async () => {
    expect(await clocks({ offSec: -41, tripMs: 3000 })).toEqual({
      told: ['warn: clock 41 s behind this machine → no decision rests on it; `floe show` corrects times by it'],
      sec: -41,
    })
    expect((await clocks({ offSec: 3600 })).told[0]).toContain('clock 1 h ahead of this machine')
  })
  test('that agree within a slow round trip agree', async () => {
    expect(await clocks({ offSec: 1.5 })).toEqual({ told: ['ok: its clock agrees with this machine'], sec: 1.5 })
    expect((await clocks({ offSec: 3, tripMs: 8000 })).told).toEqual(['ok: its clock agrees with this machine'])
  })
  test('of nodes may say any time between submission and sight', () => {
    const between = { fromSec: 100, toSec: 200 }
    expect([98, 150, 202, 40, 260, Number.NaN].map((sec) => clockOf(sec, between))).toEqual([0, 0, 0, -60, 60, 0])
  })
})

test('sessions fewer than floe uses, and words of a login', async () => {
  const site = hand()
  const survey = { login: 'key ed25519', sessions: 1, isMore: false, used: 4, noise: `Welcome!\n\n${'x'.repeat(90)}` }
  const ledger = new Ledger()
  await checkWay({ ...site, transport: { ...site.transport, survey: async () => survey } }, ledger, wishes)
  expect(told(ledger)).toEqual([
    'warn: the SSH server allows 1 session at once, and floe uses 4 → set `channels: 1` under `ssh:` of frost',
    `note: logins print "Welcome! ${'x'.repeat(31)}…" → floe keeps it out of the answers`,
  ])
})

describe('scratch', () => {
  const open = {
    ...{ state: 'open', link: 'ok', rename: 'ok', locks: 'yes no', free_kb: '4100000000', free_files: '880000' },
  }
  const scratch = (seen: Record<string, string>) =>
    findings((ledger) => void scratchFindings(new Map(Object.entries(seen)), setting, ledger))

  test('as it should be', () => {
    expect(scratch(open)).toEqual([
      'ok: scratch: 4.20 TB and 880,000 files free → a quota of yours may allow less',
      'ok: links, renames and locks work there',
    ])
  })
  test.each([
    [{ locks: 'yes yes' }, 'warn: links work there; locks exclude nobody'],
    [{ locks: 'no no' }, 'note: links and renames work there; locks do not → floe makes lock directories instead'],
    [{ free_kb: '1000' }, 'warn: scratch: 1.02 MB and 880,000 files free'],
    [{ free_files: '12' }, 'warn: scratch: 4.20 TB and 12 files free'],
    [{ free_files: '-', free_kb: '-' }, 'ok: scratch: free space is not told'],
    [{ free_files: '0' }, 'ok: scratch: 4.20 TB free'],
    [{ link: 'no', said: 'ln: not permitted' }, 'fail: /scratch/alice does not make links: ln: not permitted'],
    [{ relink: 'yes' }, 'fail: /scratch/alice lets a link replace another'],
    [{ rename: '' }, 'fail: /scratch/alice does not rename files'],
    [{ state: 'unwritable', said: 'mkdir: No space left on device' }, '→ free some space there'],
    [{ state: '' }, 'fail: the shell there ended before /scratch/alice was tried'],
  ])('%j', (change, line) => {
    expect(scratch({ ...open, ...change }).join('\n')).toContain(line)
  })
})

describe('a task', () => {
  const ran = (ledger: Ledger): Ran => ({ hand: hand(), ledger, id: '7', submittedAt: 1_795_000_000_000 })
  const proof = {
    host: 'c003',
    time: '1795000000',
    tmpdir: '/local/7',
    tmp: '/local/7',
    tmp_kb: '2000000',
    glibc: 'glibc 2.31',
    node: '20.20.2 ',
  }
  const proved = (more: Record<string, string>) =>
    findings((ledger) => proofFindings(ran(ledger), new Map(Object.entries({ ...proof, ...more }))))

  test('that ran', () => {
    expect(proved({ address_kb: 'unlimited' })).toEqual([
      'ok: /scratch/alice is seen by the login node and c003; a task started in 0.0 s → jobs run in TMPDIR, /local/7 (2.05 GB free)',
      'ok: Node 20.20.2 runs on c003 (glibc 2.31) → floe keeps it in its cache there',
    ])
  })
  test('on a data node of HDFS', () => {
    expect(proved({ data_node: 'yes' })[2]).toBe(
      'note: c003 is a data node of HDFS → name its name node in `data_nodes_of:` of frost, and tasks run where their inputs lie',
    )
    expect(proved({ data_node: '' })).toHaveLength(2)
  })
  test('whose memory resource limits address space', () => {
    expect(proved({ address_kb: '8000000' })).toContain(
      'note: a task that asks 1.07 GB for its job: its address space is limited to 8.19 GB → Node starts in that',
    )
    expect(
      proved({ address_kb: '1250000', node: '# # Fatal process OOM in Failed to reserve virtual memory ' }),
    ).toEqual([
      expect.stringMatching(/^ok: /),
      'fail: Node does not run on c003: Fatal process OOM in Failed to reserve virtual memory',
      'fail: a task that asks 1.07 GB for its job: its address space is limited to 1.28 GB → set `memory:` of frost to a resource that does not limit address space, such as mem_free',
    ])
  })
  test('on a node whose glibc is too old, or whose clock is off', () => {
    const said = "node: /lib64/libc.so.6: version `GLIBC_2.28' not found "
    expect(proved({ node: said })[1]).toBe(
      `fail: Node does not run on c003: ${said.trim()} → set \`node:\` of frost to a Node that runs there`,
    )
    expect(proved({ time: '1794996400' }).at(-1)).toContain(
      'warn: the clock of c003 is 1 h or more behind this machine',
    )
  })

  const outcome = { proof: undefined, hasEnded: false, waitedSec: 120 }
  const waited = (state: 'queued' | 'running', reason: string | null) =>
    findings((ledger) => waitingFindings(ran(ledger), { ...outcome, last: { id: '7', index: 0, state, reason } }))
  test('that waits', () => {
    expect(waited('queued', 'Resources')).toEqual([
      'warn: a task did not start within 2 min: it is next → `floe doctor frost --wait 10m` waits longer; this task was cancelled',
    ])
    expect(waited('queued', 'BadConstraints')).toEqual([
      'fail: a task did not start within 2 min: nobody has such a node → ask the people who run the site',
    ])
    expect(waited('queued', null)[0]).toContain('it gives no reason')
    expect(waited('running', null)[0]).toContain('warn: task 7 runs for 2 min and has shown nothing of itself')
  })

  const gone = (exit: number | null, printed = '') =>
    findings((ledger) =>
      endedFindings(ran(ledger), {
        ending: {
          ...{ id: '7', index: 0, word: 'FAILED', cause: 'failed', exit, signal: null, node: 'c9' },
          ...{ startedAt: null, endedAt: null, memoryMaxBytes: null },
        },
        printed,
        last: undefined,
      }),
    )
  test('that ended and left nothing', () => {
    expect(gone(72)).toEqual([
      'fail: c9 does not see /scratch/alice → name a directory that login and compute nodes share as `scratch:` of frost',
    ])
    expect(gone(73)[0]).toContain('fail: c9 cannot write to /scratch/alice')
    expect(gone(1, 'sh: not found')).toEqual([
      'fail: a task ended and left nothing (FAILED, exit 1); it printed: sh: not found',
    ])
  })
})

describe('a scheduler', () => {
  test('with several queues and none chosen', () => {
    const { queues, ...rest } = LIMITS
    const noDefault = { ...rest, queues: queues.map((queue) => ({ ...queue, isDefault: false })) }
    expect(findings((ledger) => queueFindings(setting, LIMITS, ledger))).toEqual([
      'note: queues day (1 d, 7 tasks submitted), long (no limit) → floe submits to day',
    ])
    expect(findings((ledger) => queueFindings(setting, noDefault, ledger))[0]).toContain('the scheduler chooses one')
    const several = (queue: string) => findings((ledger) => queueFindings({ ...setting, queue }, LIMITS, ledger))[0]
    expect(several('day,long')).toContain('the scheduler chooses of day, long')
    expect(several('day,lang')).toBe('fail: there is no queue lang → did you mean long?')
  })
  test('that says more of itself', () => {
    const notes = ['Arrays are switched off (MaxArraySize): floe cannot submit here.', 'Queue night is closed.']
    expect(findings((ledger) => policyFindings({ ...LIMITS, notes }, ledger))).toEqual([
      'note: ended tasks are listed for 5 min; accounts are kept → floe asks the accounts how a task ended',
      'note: arrays are switched off (MaxArraySize) → floe cannot submit here',
      'note: queue night is closed',
    ])
  })
  test('is looked at less often when it is slow, but not for ever; the way to it does not count', () => {
    const measured = (status_ms: number | null, trip_ms: number | null = null) => ({
      ...new Ledger().measured,
      ...{ status_ms, trip_ms },
    })
    expect([null, 20, 500, 3000, 60_000].map((ms) => intervalFor(10, measured(ms)))).toEqual([10, 10, 10, 60, 300])
    expect(intervalFor(10, measured(3000, 2800))).toBe(10)
    expect(intervalFor(10, { ...measured(null), limits_ms: 1000 })).toBe(20)
    expect(intervalFor(600, measured(60_000))).toBe(600)
  })
  test('has the limits that a profile kept of it', () => {
    expect(toSiteLimits(LIMITS.version, JSON.parse(JSON.stringify(toLimitsReport(LIMITS))))).toEqual(LIMITS)
  })
})
