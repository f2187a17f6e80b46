import { AsyncLocalStorage } from 'node:async_hooks'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localSite, type Seal, type Site } from '../../src/dispatch/dispatch.ts'
import { campaignPaths, sitePaths } from '../../src/model/campaign.ts'
import { FloeError } from '../../src/model/errors.ts'
import type { Clock } from '../../src/ports/clock.ts'
import { type MemoryTables, memoryTables } from '../../src/ports/tables/memory.ts'
import { openTables, type Tables } from '../../src/ports/tables/tables.ts'
import { type Leases, type RunContext, runCampaign } from '../../src/run/run.ts'
import { CAMPAIGN, putJobs, runContext } from '../fakes/campaign.ts'
import { chanceOf } from './chance.ts'
import { type Coverage, type Fault, MENU, type State } from './faults.ts'
import { checkEnd, checkNow, type Seen } from './invariants.ts'
import { letChoose } from './let-choose.ts'
import { Scheduler } from './scheduler.ts'

/** The coordinator's process has ended: nothing that it does from then on has an effect. */
export class Killed extends Error {}

export interface Trial {
  readonly seed: number
  readonly jobs: number
  /** A fault that happens once, the first time that it can meet a task in this state. */
  readonly wish?: { readonly fault: Fault; readonly state: State } | undefined
  /** Faults of the menu, until virtual time has gone on for a while. */
  readonly faults: boolean
  /** The coordinator dies at this step of its life, counted anew in each, before or after that has an effect. */
  readonly kill?: { readonly at: (life: number) => number | undefined; readonly when: 'before' | 'after' }
  readonly coverage: Coverage
  /** Elements of arrays choose their tasks when they start. */
  readonly late?: true
  /** Sites of one cluster that share the jobs; absent: one. */
  readonly sites?: 2
  /** Some jobs go first, to be measured. */
  readonly scouts?: true
  /** How often faults happen, as a share of what the menu says; 1 by default. */
  readonly often?: number
  /** Tables on disk, as a campaign has them; else in memory, which is faster. */
  readonly onDisk?: boolean
}

/** Faults happen in the first of so many virtual seconds. */
const FAULTS_SEC = 900
/** A campaign that has not ended after so many lives, or turns, does not end. */
const LIVES_MAX = 200
const TURNS_MAX = 5000
const EPOCH_MS = Date.UTC(2026, 0, 1)
const YAML = `
stop_when_failed: 1
batch: {jobs: 3}
policy:
  memory: {tries: 99}
  walltime: {tries: 99}
  node: {tries: 99}
  preempted: {tries: 99}
  purged: {tries: 99}
  lost: {tries: 99}
`
const SCOUTS = 'scouts: {jobs: 3, from: 6, wait: 2m}'

/** What a campaign came to. */
export interface Ending {
  /** `job output digest`, sorted. */
  readonly results: readonly string[]
  readonly states: Readonly<Record<string, number>>
  /** Steps of each life of the coordinator. */
  readonly steps: readonly number[]
  readonly begun: ReadonlyMap<string, number>
  /** Jobs whose task went wrong before they had their verdict, or whose record was taken away or came late. */
  readonly hit: ReadonlySet<string>
}

/** Which life of the coordinator it is that acts. */
const lives = new AsyncLocalStorage<number>()

/** A coordinator that stands still, as on a machine that was suspended, until it is woken. */
interface Sleeper {
  readonly ended: Promise<Ending>
  readonly wake: () => void
}

/** One campaign on one site, with time, chance and faults from a seed. */
export class World {
  readonly root: string
  readonly scheduler: Scheduler
  readonly clock: Clock
  readonly #trial: Trial
  readonly #memory: MemoryTables | undefined
  readonly #dice: () => number
  readonly #later: { readonly at: number; readonly act: () => void }[] = []
  readonly #jobs = new Map<string, readonly string[]>()
  /** Array directories of which a table has all verdicts. */
  readonly #published = new Set<string>()
  readonly #seen: Seen = new Map()
  #ms = 0
  #jumpMs = 0
  #turns = 0
  #life = 0
  #steps: number[] = []
  #isDead = false
  #isGranted = false
  /** An array has just been sealed to move elsewhere. */
  #hasSealed = false
  #epoch = 0
  #sleeper: Sleeper | undefined
  /** Puts the coordinator of this life to sleep; answers when it is woken. */
  #fallAsleep: () => Promise<void> = async () => {}

  constructor(trial: Trial) {
    this.#trial = trial
    this.#dice = chanceOf(trial.seed)
    this.root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'floe-sim-'))
    this.scheduler = new Scheduler(this)
    let uuids = 0
    this.clock = {
      now: () => EPOCH_MS + this.#ms + this.#jumpMs,
      ticks: () => this.#ms,
      sleep: (ms) => this.step('sleep', async () => this.#pass(ms)),
      uuid: () => `00000000-0000-4000-9000-${String(++uuids).padStart(12, '0')}`,
    }
    if (!trial.onDisk) this.#memory = memoryTables({ clock: this.clock })
  }

  get seconds(): number {
    return this.#ms / 1000
  }

  us(seconds: number): number {
    return Math.round((EPOCH_MS / 1000 + seconds) * 1e6)
  }

  chance(): number {
    return this.#dice()
  }

  /** `state`: of the task that it would meet; absent: it concerns all that goes on. */
  strikes(fault: Fault, state?: State): boolean {
    const { wish } = this.#trial
    if (!this.#isGranted && wish?.fault === fault && (state ? state === wish.state : this.#present.has(wish.state))) {
      this.#isGranted = true
      return true
    }
    return (
      this.#trial.faults && this.seconds < FAULTS_SEC && this.chance() < MENU[fault].share * (this.#trial.often ?? 1)
    )
  }

  note(fault: Fault, state: State): void {
    this.#trial.coverage.note(fault, state)
  }

  /** A fault that concerns all that goes on. */
  noteAll(fault: Fault): void {
    for (const state of this.#present)
      if ((MENU[fault].meets as readonly State[]).includes(state)) this.note(fault, state)
  }

  get #present(): ReadonlySet<State> {
    const states = new Set<State>(this.scheduler.states())
    if (this.#hasStaged()) states.add('staged')
    return states
  }

  get bindsLate(): boolean {
    return this.#trial.late === true
  }

  later(at: number, act: () => void): void {
    this.#later.push({ at, act })
  }

  keepJobs(directory: string, task: number, jobs: readonly string[]): void {
    this.#jobs.set(`${directory} ${task}`, jobs)
  }

  jobsOf(directory: string, task: number): readonly string[] {
    return this.#jobs.get(`${directory} ${task}`) ?? []
  }

  isPublished(directory: string): boolean {
    return this.#published.has(directory)
  }

  /** Something that the coordinator does to the world; it may die before, or when it is done. */
  async step<T>(what: string, act: () => Promise<T>): Promise<T> {
    const life = lives.getStore() ?? this.#life
    if (life < this.#life) throw new Error(`one that was taken over went on: ${what}`)
    if (this.#isDead) throw new Killed(what)
    if (this.#sleeper && this.chance() < 0.1) await this.#wake()
    const nth = ++this.#steps[this.#life]!
    if (what !== 'cancel') this.#hasSealed = false
    const { kill } = this.#trial
    const isMoving = what === 'seal to move' || (what === 'cancel' && this.#hasSealed)
    const isAimed = isMoving && this.#trial.faults && this.chance() < (what === 'cancel' ? 0.6 : 0.15)
    if (kill?.at(this.#life) !== nth && !isAimed && !this.strikes('coordinator killed')) return act()
    this.noteAll('coordinator killed')
    if (what === 'cancel' && isMoving) this.#trial.coverage.noteMove('array, coordinator killed at its cancel')
    if (kill ? kill.when === 'after' : this.chance() < 0.5) await act().catch(() => undefined)
    this.#isDead = true
    throw new Killed(what)
  }

  async run(): Promise<Ending> {
    const paths = campaignPaths(this.root)
    mkdirSync(join(this.root, 'data'))
    const jobs = Array.from({ length: this.#trial.jobs }, (_, i) => {
      const inputs = [`a${i % 5}`, `b${i % 3}`]
      return { id: `job${String(i).padStart(2, '0')}`, inputs, outputs: [`out/${i}.nc`] }
    })
    for (const name of new Set(jobs.flatMap(({ inputs }) => inputs))) writeFileSync(join(this.root, 'data', name), name)
    const first = await this.#open()
    await putJobs(first, join(this.root, 'data'), jobs)
    await first.close()
    try {
      for (; this.#life < LIVES_MAX; this.#life++) {
        this.#isDead = false
        this.#steps[this.#life] = 0
        // What is kept beside the tables may be lost as well.
        if (this.#trial.faults && this.chance() < 0.3) rmSync(paths.cache, { recursive: true, force: true })
        const ending = await this.#live()
        if (ending) return ending
      }
      throw new Error(`the campaign did not end in ${LIVES_MAX} lives of its coordinator`)
    } finally {
      await this.#memory?.close()
      rmSync(this.root, { recursive: true, force: true })
    }
  }

  /** One life of the coordinator: until the campaign has ended, or something ended it. */
  async #live(): Promise<Ending | undefined> {
    const tables = await this.#open()
    const life = this.#life
    let fellAsleep: (() => void) | undefined
    const asleep = new Promise<'asleep'>((done) => {
      fellAsleep = () => done('asleep')
    })
    let wake = (): void => {}
    this.#fallAsleep = () => {
      fellAsleep!()
      return new Promise<void>((woken) => {
        wake = woken
      })
    }
    const ended = lives.run(life, () => this.#coordinate(tables)).finally(() => tables.close())
    ended.catch(() => {})
    try {
      const ending = await Promise.race([ended, asleep])
      if (ending !== 'asleep') {
        await this.#wake()
        return ending
      }
      this.#sleeper = { ended, wake }
    } catch (error) {
      if (error instanceof FloeError ? error.code === 'BUG' : !(error instanceof Killed) && !isMeant(error)) throw error
    }
    // A person starts it again, a while later.
    this.#pass(this.#trial.faults ? 20_000 : 1000)
    return undefined
  }

  async #coordinate(tables: Tables): Promise<Ending> {
    const context: RunContext = {
      ...runContext(this.root, tables, this.scheduler.connector(), this.#trial.scouts ? YAML + SCOUTS : YAML),
      ...{ clock: this.clock, tables: this.#stepping(tables), site: this.#site() },
      ...(!this.#trial.onDisk && { leases: this.#leases }),
      ...(this.#trial.sites === 2 && { beside: [this.#rime()] }),
    }
    const report = await runCampaign(context)
    await checkEnd(tables, this.#seen)
    return this.#ending(tables, report.counts as unknown as Record<string, number>)
  }

  /** Whoever takes it is believed to be alone: the one before is dead, or is taken for it. */
  get #leases(): Leases {
    return {
      take: async () => {
        const epoch = ++this.#epoch
        const guard = async () => {
          if (epoch !== this.#epoch) throw new FloeError('RUN_LOCKED', 'simulated: another coordinator took over')
        }
        return { epoch, guard, release: () => {} }
      },
      holder: async () => undefined,
    }
  }

  /** One that wakes after it was taken over may change nothing any more. */
  async #wake(): Promise<void> {
    const sleeper = this.#sleeper
    if (!sleeper) return
    this.#sleeper = undefined
    sleeper.wake()
    try {
      await sleeper.ended
    } catch (error) {
      if (error instanceof FloeError && error.code === 'RUN_LOCKED') return
      throw error
    }
    throw new Error('a coordinator that was taken over came to its end')
  }

  async #ending(tables: Tables, states: Record<string, number>): Promise<Ending> {
    await tables.view('results')
    const rows = await tables.sql.rows<{ said: string }>(
      "select job_id || ' ' || output || ' ' || digest as said from results order by 1",
    )
    const { begun, hit } = this.scheduler
    return { results: rows.map(({ said }) => said), states, steps: this.#steps, begun, hit }
  }

  async #open(): Promise<Tables> {
    return (
      this.#memory?.open() ??
      openTables({ root: this.root, cache: campaignPaths(this.root).cache, clock: this.clock, threads: 1 })
    )
  }

  #pass(ms: number): void {
    if (++this.#turns > TURNS_MAX) throw new Error(`the campaign did not end in ${TURNS_MAX} turns`)
    this.#ms += ms
    if (this.strikes('clock jumping')) {
      this.noteAll('clock jumping')
      this.#jumpMs = (this.chance() - 0.5) * 172_800_000
    }
    this.scheduler.advance()
    for (const one of this.#later.filter(({ at }) => at <= this.seconds)) {
      this.#later.splice(this.#later.indexOf(one), 1)
      one.act()
    }
  }

  #stepping(tables: Tables): Tables {
    const commit: Tables['commit'] = (table, given) => {
      const guard = async () => {
        if (!this.#trial.onDisk && !this.#sleeper && this.strikes('coordinator asleep')) {
          this.noteAll('coordinator asleep')
          await this.#fallAsleep()
        }
        await given.guard?.()
      }
      const wish = { ...given, guard }
      return this.step(`commit ${table}`, async () => {
        if (this.strikes('store slow')) {
          this.noteAll('store slow')
          this.#pass(100_000)
        }
        if (this.strikes('disk full')) {
          this.noteAll('disk full')
          throw new FloeError('DISK_FULL', 'simulated')
        }
        if (this.strikes('commit failing')) {
          this.noteAll('commit failing')
          throw new Meant('simulated: EIO')
        }
        const version = await tables.commit(table, wish)
        if (given.operation.startsWith('move ')) this.#trial.coverage.noteMove('cut batches')
        await checkNow(tables, table, this.#seen)
        if (table === 'batches') await this.#notePublished(tables)
        if (this.strikes('commit unheard')) {
          this.noteAll('commit unheard')
          throw new Meant('simulated: EIO')
        }
        return version
      })
    }
    return new Proxy(tables, {
      get(target, name) {
        if (name === 'commit') return commit
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

  async #notePublished(tables: Tables): Promise<void> {
    const { arrays } = sitePaths(campaignPaths(this.root).scratch, CAMPAIGN)
    const rows = await tables.sql.rows<{ id: string }>(
      "select array_id as id from sim_batches where array_id is not null group by 1 having bool_and(state = 'ended')",
    )
    for (const { id } of rows) this.#published.add(join(arrays, id))
  }

  #hasStaged(): boolean {
    const { arrays } = sitePaths(campaignPaths(this.root).scratch, CAMPAIGN)
    const names = existsSync(arrays) ? readdirSync(arrays) : []
    return names.some((name) => !existsSync(join(arrays, name, 'id')))
  }

  /** A site like one behind a login node: it is looked at now and then, and what it does not list is not gone at once. */
  #site(connector = this.scheduler.connector()): Site {
    const paths = campaignPaths(this.root)
    const ground = { paths: sitePaths(paths.scratch, CAMPAIGN), outputs: paths.outputs, roots: {}, slots: 4 }
    const site = localSite({ ...ground, connect: async () => connector, runner: ['sim'] })
    return {
      ...site,
      isOneNode: false,
      rhythm: { turnMs: 5000, pullMs: 5000, watchMs: 10_000, graceMs: 20_000, absentMs: 60_000, blankMs: 180_000 },
      limits: async () => ({ planBelow: 6, refillBelow: 6, openMax: 12, arrayMax: 4, arraysMax: 8 }),
      makeArray: (id) => this.step('make array', () => site.makeArray(id)),
      remove: (ids, cached) =>
        this.step('remove', () => {
          const needed = ids.find((id) => this.scheduler.has(join(site.paths.arrays, id)))
          if (needed !== undefined) throw new Error(`array ${needed} is taken away, and the scheduler has tasks of it`)
          return site.remove(ids, cached)
        }),
      send: async (id) => (this.bindsLate ? letChoose(join(site.paths.arrays, id)) : undefined),
      pull: (ids) =>
        this.step('pull', async () => new Set(ids.filter((id) => !existsSync(join(site.paths.arrays, id))))),
      seal: async (id, seals) => this.#seal(join(site.paths.arrays, id), seals),
    }
  }

  /** A second site, which takes little and at which arrays may wait for long. */
  #rime(): Site {
    const wait = () => (this.chance() < 0.6 ? { leastSec: 600, mostSec: 1200 } : { leastSec: 0, mostSec: 60 })
    const limits = async () => ({ planBelow: 2, refillBelow: 2, openMax: 4, arrayMax: 2, arraysMax: 4 })
    return { ...this.#site(this.scheduler.connector(wait)), name: 'rime', limits }
  }

  async #seal(directory: string, seals: readonly Seal[]): Promise<ReadonlySet<number>> {
    const isMove = seals.some(({ line }) => line.includes('taken back'))
    const { coverage, faults } = this.#trial
    const begun = new Set<number>()
    const seal = async () => {
      const folder = join(directory, 'records')
      if (!existsSync(folder)) return
      if (isMove && faults && this.chance() < 0.3) this.scheduler.beginOne(directory)
      const names = readdirSync(folder)
      for (const { task, attempt, line } of seals)
        if (names.some((name) => name === `${task}.${attempt}`)) begun.add(task)
        else writeFileSync(join(folder, `${task}.${attempt}`), line)
      this.#hasSealed = isMove
      if (isMove) coverage.noteMove(begun.size > 0 ? 'array, some had begun' : 'array, none had begun')
    }
    await this.step(isMove ? 'seal to move' : 'seal', seal).catch((error: unknown) => {
      if (isMove && error instanceof Killed) coverage.noteMove('array, coordinator killed at its seal')
      throw error
    })
    if (isMove && faults && this.chance() < 0.15) {
      coverage.noteMove('array, seal unheard')
      throw new FloeError('SITE_UNREACHABLE', 'simulated: seal unheard')
    }
    return begun
  }
}

class Meant extends Error {}
const isMeant = (error: unknown): boolean => error instanceof Meant
