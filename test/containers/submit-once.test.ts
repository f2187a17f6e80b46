import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openCommandConnector } from '../../connectors/command.ts'
import { type ArraySpec, type Connector, ConnectorError } from '../../connectors/connector.ts'
import { quote } from '../../connectors/quote.ts'
import { slurm } from '../../connectors/slurm/slurm.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import { seededRandom } from '../../src/map/random.ts'
import { type Clients, openClients } from './clients.ts'
import { type SlurmSite, startSlurm } from './clusters.ts'
import { describeSite } from './engine.ts'
import { until } from './machine.ts'
import type { SshEntry } from './site.ts'
import { wayTo } from './way.ts'

/*
 * Submissions to a real Slurm over SSH, each with a fault at a random instant, then recovery as floe does it; counted by what the tasks
 * wrote and by the accounts. FLOE_SUBMISSIONS says how many, FLOE_SEED which.
 */

const COUNT = Number(process.env.FLOE_SUBMISSIONS ?? 40)
const SEED = Number(process.env.FLOE_SEED ?? Math.floor(Math.random() * 2 ** 31))
/** Side by side. */
const LANES = 4
const TASKS = 3
const ROOT = '/scratch/alice/once'

type Fault = 'client killed' | 'connection cut' | 'login paused' | 'controller killed'

interface Trial {
  readonly array: ArraySpec
  readonly fault: Fault
  readonly afterMs: number
  readonly lastsMs: number
}

function trials(): Trial[] {
  const numbers = seededRandom(SEED)
  const random = (): number => numbers() / 2 ** 32
  return Array.from({ length: COUNT }, (_, at) => {
    const draw = random()
    const fault: Fault =
      draw < 0.45 ? 'client killed' : draw < 0.7 ? 'connection cut' : draw < 0.9 ? 'login paused' : 'controller killed'
    // A submission is over after some tens of milliseconds on an idle machine, and after seconds on a busy one.
    const afterMs = random() * [60, 300, 3000][Math.floor(random() * 3)]!
    return { array: arrayOf(`s${at}`, TASKS), fault, afterMs, lastsMs: 200 + random() * 2500 }
  })
}

function arrayOf(name: string, count: number, command = ['/bin/sh', `${ROOT}/task.sh`]): ArraySpec {
  return {
    ...{ name: `once-${SEED}-${name}`, directory: `${ROOT}/${name}`, count, command },
    ...{ cpus: 1, memoryBytes: null, walltimeSec: 600, gpus: 0, queue: null, account: null },
  }
}

describeSite(`${COUNT} submissions with faults, seed ${SEED}`, { timeout: 1_800_000 }, () => {
  let site: SlurmSite
  let clients: Clients
  let way: Transport
  let entry: SshEntry
  beforeAll(async () => {
    // Accounts alone are to tell of what ended long ago. What could not be launched waits for the end of its credential: two minutes, as shipped.
    site = await startSlurm({ nodes: 1, config: { MinJobAge: '20', AuthInfo: 'cred_expire=10' } })
    clients = await openClients()
    entry = await site.ssh()
    way = wayTo(entry)
    await site.login.ask(
      `mkdir ${ROOT} && printf '%s\\n' 'echo "$2 $FLOE_NATIVE_ID $FLOE_NONCE" >>ran' >${ROOT}/task.sh`,
      'alice',
    )
  })
  afterAll(async () => {
    clients?.close()
    await way?.close()
    await site?.stop()
  })

  const connector = (): Connector => openCommandConnector({ dialect: slurm(), transport: way })

  async function befall({ fault, afterMs, lastsMs }: Trial, client: { kill(): void }): Promise<void> {
    await pause(afterMs)
    if (fault === 'client killed') client.kill()
    if (fault === 'connection cut') await oneAtATime(cut)
    if (fault === 'login paused') await oneAtATime(() => pausing(lastsMs))
    if (fault === 'controller killed') await oneAtATime(restartController)
  }

  /** All connections: those of other lanes too. */
  async function cut(): Promise<void> {
    const gone = `for process in /proc/[0-9]*; do
      case $(tr '\\0' ' ' <$process/cmdline 2>/dev/null) in "sshd: alice"*) kill -9 \${process#/proc/} 2>/dev/null ;; esac
    done; :`
    await site.login.ask(gone)
  }

  async function pausing(ms: number): Promise<void> {
    await site.login.pause()
    await pause(ms)
    await site.login.unpause()
  }

  async function restartController(): Promise<void> {
    await site.controller.kill()
    await site.controller.start()
  }

  // A command that the engine starts in a machine that is being paused is stuck for ever, and the machine with it.
  let last: Promise<unknown> = Promise.resolve()
  function oneAtATime(act: () => Promise<void>): Promise<void> {
    const mine = last.then(act)
    last = mine.catch(() => {})
    return mine
  }

  /** Asks again for as long as the site does not answer, as a coordinator does. */
  async function recover(array: ArraySpec, verify: boolean): Promise<string> {
    for (let tries = 0; ; tries++) {
      try {
        return await connector().submit(array, { verify })
      } catch (error) {
        const isLater = error instanceof ConnectorError && (error.kind === 'unreachable' || error.kind === 'wait')
        if (!isLater || tries > 60) throw error
        await pause(500)
      }
    }
  }

  const asAlice = (script: string) => site.login.ask(script, 'alice')
  /** By array, what each task wrote: its index and the submission that it belonged to. */
  async function ran(): Promise<Map<string, { task: number; claim: string }[]>> {
    const text = await asAlice(`cd ${ROOT} && for name in s*; do echo "= $name"; cat "$name/ran" 2>/dev/null; done`)
    return new Map(
      text
        .slice(2)
        .split('\n= ')
        .map((part) => {
          const [name, ...lines] = part.split('\n')
          return [name!, lines.map((line) => ({ task: Number.parseInt(line, 10), claim: line.replace(/^\d+ /, '') }))]
        }),
    )
  }
  /**
   * A controller that was killed gives ids again. The node that knows the first job of that id refuses the second, and Slurm drains the node
   * and holds the job: then somebody at the site acts, and alice lets hers go.
   */
  const mend = `sinfo -h -t drain -o %N | grep . && scontrol update nodename=c1 state=resume
    for id in $(squeue -h -t pending -o '%i %r' | sed -n 's/ .*held.*//p'); do scontrol release "$id"; done; squeue -h`
  const isIdle = async () => (await site.login.run(mend)).stdout.trim() === ''
  const idle = () => until(isIdle, { what: 'no task waits or runs', waitMs: 300_000, everyMs: 1000 })

  it('lose and double nothing', async () => {
    const all = trials()
    await asAlice(`mkdir ${all.map(({ array }) => quote(array.directory)).join(' ')}`)
    const waiting = [...all]
    let heard = 0
    const started = performance.now()
    const lane = async (): Promise<void> => {
      for (let trial = waiting.shift(); trial; trial = waiting.shift()) {
        const { array } = trial
        let client: Awaited<ReturnType<Clients['open']>> | undefined
        while (!client) client = await clients.open(entry, array).catch(() => undefined)
        client.go()
        await befall(trial, client)
        // It may hang for as long as the keep-alive lets it, which is not what is tested.
        const said = await Promise.race([client.said, pause(1000)])
        client.kill()
        if (said) heard++
        await recover(array, false)
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    const took: number[] = [performance.now() - started]
    await idle()
    took.push(performance.now() - started)
    const resent: string[] = []
    // What the controller took with it when it was killed.
    for (const { array } of all) {
      const before = (await asAlice(`cat ${quote(`${array.directory}/id`)}`)).trim()
      const after = await recover(array, true)
      if (after !== before) resent.push(array.name)
    }
    await idle()
    const again = await rest(all)
    await idle()
    const names = await accounts(all.length)
    const told = await ran()
    const lost = all.flatMap(({ array: { directory } }) =>
      Array.from({ length: TASKS }, (_, task) => task)
        .filter((task) => !told.get(nameOf(directory))!.some((one) => one.task === task))
        .map((task) => `${nameOf(directory)} ${task}`),
    )
    const doubled: string[] = []
    // Slurm itself ran a task again under its id, as after a requeue: its state of before the task began was what the controller had saved.
    const restored: string[] = []
    for (const [name, lines] of told) {
      for (let task = 0; task < TASKS; task++) {
        const claims = lines.filter((line) => line.task === task).map(({ claim }) => claim)
        if (new Set(claims).size > 1) doubled.push(`${name} ${task}`)
        else if (claims.length > 1) restored.push(`${name} ${task}`)
      }
    }
    const unknown = all.filter(({ array }) => !names.has(array.name)).map(({ array }) => array.name)
    const twice = [...names].filter(([, ids]) => ids.size > 1).map(([name]) => name)
    const killed = all.filter(({ fault }) => fault === 'controller killed').length
    console.log(
      took,
      `seed ${SEED}: ${COUNT} submissions, ${heard} answered before their fault; the controller was killed ${killed} times and lost ` +
        `${resent.length + again.length} of them; ${twice.length} are in the accounts twice, ${unknown.length} are not; it ran ${restored.length} tasks again under their id`,
    )
    expect({ lost, doubled }).toEqual({ lost: [], doubled: [] })
    // Only a controller that forgets makes a second submission.
    if (killed === 0)
      expect({ resent, again, twice, unknown, restored }).toEqual({
        resent: [],
        again: [],
        twice: [],
        unknown: [],
        restored: [],
      })
    expect(twice.filter((name) => !resent.includes(name))).toEqual([])
  })

  const nameOf = (directory: string): string => directory.slice(ROOT.length + 1)

  /** Tasks of arrays of which one had begun when the controller lost them: an array of their own, as after any loss of tasks. */
  async function rest(all: readonly Trial[]): Promise<string[]> {
    const told = await ran()
    const again: string[] = []
    for (const { array } of all) {
      const name = nameOf(array.directory)
      const left = Array.from({ length: TASKS }, (_, task) => task).filter(
        (task) => !told.get(name)!.some((one) => one.task === task),
      )
      if (left.length === 0 || left.length === TASKS) continue
      again.push(name)
      const script = `set -- ${left.join(' ')}; shift "$FLOE_INDEX"; echo "$1 $FLOE_NATIVE_ID $FLOE_NONCE" >>${array.directory}/ran`
      const command = ['/bin/sh', '-c', `FLOE_INDEX=$2; ${script}`, 'task']
      const more = arrayOf(`again-${name}`, left.length, command)
      await asAlice(`mkdir ${quote(more.directory)}`)
      await recover(more, false)
    }
    return again
  }

  /** Names of arrays and the ids under which they are in the accounts, which lag. */
  async function accounts(least: number): Promise<Map<string, Set<string>>> {
    for (let tries = 0; ; tries++) {
      const names = new Map<string, Set<string>>()
      // -D: an id that was given twice has both its jobs there.
      for (const line of (await asAlice('sacct -D -X -n -P -S now-2hours -o JobID,JobName,State')).split('\n')) {
        const [id = '', name = '', state = ''] = line.split('|')
        if (!/-s\d+$/.test(name) || state === 'PENDING' || state === 'RUNNING') continue
        names.set(name, (names.get(name) ?? new Set()).add(id.replace(/_.*/, '')))
      }
      if (names.size >= least || tries > 15) return names
      await pause(1000)
    }
  }
})
