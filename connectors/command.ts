import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as pauseFor } from 'node:timers/promises'
import {
  type ArraySpec,
  type Connector,
  ConnectorError,
  type NativeId,
  type SiteLimits,
  type TaskEnding,
  type TaskReport,
  TooEarly,
} from './connector.ts'
import type { Argv, Dialect } from './dialect.ts'
import { quoteWords } from './quote.ts'
import { asking, firstLines, nameOf, repliesIn, type Surroundings, saidIn, scriptOf } from './replies.ts'
import { inChunks } from './scheduler-text.ts'
import { answering, parseSaid, type Said, type Step, searching, submitLines } from './submit-script.ts'
import type { Output, Transport } from './transport/transport.ts'
import { inTurn, laterIn, type Turns } from './turns.ts'

export interface CommandOptions {
  readonly dialect: Dialect
  readonly transport: Transport
  /** A new word of letters and digits at each call, never given before. */
  readonly nonce?: () => string
  /** Lines of sh that put the scheduler's commands on PATH, e.g. `module load slurm`. */
  readonly setup?: readonly string[]
  /** Absent: questions are asked whenever somebody asks. */
  readonly turns?: Turns
  /** Milliseconds a command may take, submitting aside. */
  readonly timeoutMs?: number
  /** Pauses between looks for a submission of which no answer came. The scheduler's accounting may lag by a second or two. */
  readonly looksMs?: readonly number[]
  readonly pause?: (ms: number) => Promise<unknown>
}

const TIMEOUT_MS = 60_000
/** Characters of a command, and of its answer, that an error shows. */
const TRIED_MAX = 300
const SAID_MAX = 1000
const LOOKS_MS = [1000, 2000, 4000]
/** Commands in one round trip, so that it ends in time: a scheduler may take a command for each range of tasks. */
const ASKED_MAX = 200
/** HUP, INT, QUIT, ABRT, KILL, SEGV, PIPE, TERM, XCPU. Others are no signs of a killed command: PBS has exits of its own up to 255. */
const KILLING = [1, 2, 3, 6, 9, 11, 13, 15, 24]
/** Beyond what the submit command takes: waiting for the lock, and looking around. */
const AROUND_MS = 30_000

/**
 * A cluster by its scheduler's commands, run where the transport leads. `submit` follows the protocol of submit-script.ts: in the array's
 * directory, which is staged, and never a second time for an answer that was lost. Keeps nothing that would be missed: another process can
 * go on with the same arrays. Costs: one round trip a submission, one a status call and `idsMax` arrays.
 */
export function openCommandConnector(options: CommandOptions): Connector {
  const site = new CommandSite(options)
  return {
    name: options.dialect.name,
    submit: (array, { verify = false } = {}) => site.submit(array, verify),
    status: (arrays, { inTurn = false } = {}) => site.status(arrays, inTurn),
    cancel: (id, indices) => site.cancel(id, indices),
    ...(options.dialect.avoid && {
      avoid: (...asked: Parameters<NonNullable<Connector['avoid']>>) => site.avoid(...asked),
    }),
    endings: (ids) => site.endings(ids),
    siteLimits: () => site.limits(),
    waiting: (reason) => options.dialect.waiting(reason),
  }
}

/** The name by which a scheduler knows an array: each has its own idea of blanks, slashes and lengths, and all take these. */
export const nativeName = (name: string): string =>
  /^[A-Za-z][A-Za-z0-9-]{0,62}$/.test(name) ? name : `f${createHash('sha256').update(name).digest('hex').slice(0, 14)}`

const shortened = (text: string): string => (text.length > TRIED_MAX ? `${text.slice(0, TRIED_MAX - 2)} …` : text)

class CommandSite {
  readonly #options: CommandOptions
  readonly #dialect: Dialect
  readonly #nonce: () => string
  #login = false

  constructor(options: CommandOptions) {
    this.#options = options
    this.#dialect = options.dialect
    this.#nonce = options.nonce ?? (() => randomBytes(12).toString('hex'))
  }

  async submit(asGiven: ArraySpec, verify: boolean): Promise<NativeId> {
    const array = { ...asGiven, name: nativeName(asGiven.name) }
    const pauses = [...(this.#options.looksMs ?? LOOKS_MS)]
    let step = { asked: '', adopt: '' }
    /** What this call heard when it sent; it sends once. */
    let heard: ConnectorError | undefined
    for (;;) {
      const { said, replies } = await this.#step({ array, verify, ...step })
      if (said.word === 'owner' || said.word === 'id') return said.id
      if (said.word === 'sent') {
        if (said.id !== '') return said.id
        heard = this.#unanswered(array, said.exit, replies[0]!)
        if (heard.kind !== 'unreachable' && heard.kind !== 'unreadable') throw heard
        step = { asked: '', adopt: '' }
        continue
      }
      if (said.word !== 'tried') throw this.#blocked(array, said.word)
      const found = this.#dialect.parseFind(replies.slice(1), array.name)
      if (said.id !== '' && found.includes(said.id)) return said.id
      if (found[0] !== undefined) step = { asked: said.nonce, adopt: found[0] }
      else if (!this.#wasPutOff(said, replies[0]!) && pauses.length > 0) await this.#pause(pauses.shift()!)
      else if (heard) throw heard
      else step = { asked: said.nonce, adopt: '' }
    }
  }

  /** True: that submission was told to wait, so nothing of it is under way, and it is sent again without more looking around. */
  #wasPutOff(said: Said & { word: 'tried' }, answer: Output): boolean {
    return said.exit !== '' && said.exit !== '0' && this.#dialect.refusal(answer).answer === 'wait'
  }

  #unanswered(array: ArraySpec, exit: string, answer: Output): ConnectorError {
    const words = this.#dialect.submit(array)
    if (KILLING.includes(Number(exit) - 128)) {
      return new ConnectorError(
        'unreachable',
        `${nameOf(words)} at ${this.#where} was ended by signal ${Number(exit) - 128} before it had answered`,
        'The login node may limit processes; floe looks for the array by its name before it submits again.',
      )
    }
    if (exit !== '0') return this.#refused(words, answer)
    return new ConnectorError(
      'unreadable',
      `no id was found in what ${nameOf(words)} printed at ${this.#where}: ${firstLines(answer)}`,
      `The whole answer is in the files ${array.directory}/answer and answer.err; nothing is submitted again before the array was looked for by its name.`,
    )
  }

  #blocked(array: ArraySpec, word: 'gone' | 'unwritable' | 'busy' | 'missing'): ConnectorError {
    const { directory } = array
    switch (word) {
      case 'gone':
        return new ConnectorError(
          'refused',
          `there is no directory ${directory} at ${this.#where}`,
          'The scratch of the site was purged, or is another one; the array has to be staged again.',
        )
      case 'unwritable':
        return new ConnectorError(
          'refused',
          `could not write into ${directory} at ${this.#where}`,
          'Check permissions, quota and space there. Nothing was submitted.',
        )
      case 'busy':
        return new ConnectorError(
          'unreachable',
          `another submission of ${array.name} is under way at ${this.#where}`,
          'floe looks again after a while and takes up what it left.',
        )
      case 'missing':
        return this.#missing(this.#dialect.submit(array))
    }
  }

  async #step(part: Omit<Step, 'nonce' | 'mark'>): Promise<{ said: Said; replies: Output[] }> {
    const mark = `floe-${this.#nonce()}`
    const step: Step = { ...part, nonce: this.#nonce(), mark }
    const login = this.#login
    const timeoutMs = this.#dialect.facts.submitMs + AROUND_MS
    const output = await this.#run(submitLines(step, this.#dialect), timeoutMs)
    const said = parseSaid(saidIn(output, mark)[0])
    if (!said) {
      throw new ConnectorError(
        'unreachable',
        `the shell at ${this.#where} ended while ${part.array.name} was submitted (exit ${output.exit}): ${firstLines(output)}`,
        'floe looks again after a while; nothing is submitted a second time before the array was looked for by its name.',
      )
    }
    const commands =
      said.word === 'tried'
        ? searching(this.#dialect, part.array)
        : said.word === 'sent'
          ? answering(this.#dialect, part.array)
          : []
    const replies = repliesIn(output, mark, commands)
    const isMissing = said.word === 'missing' || (said.word === 'tried' && replies[1]!.exit === 127)
    // Of several that were asked at once, each tries again.
    if (isMissing && !login) {
      this.#login = true
      return this.#step(part)
    }
    return { said, replies }
  }

  async status(arrays: ReadonlyMap<NativeId, number>, waits: boolean): Promise<TaskReport[]> {
    const reports: TaskReport[] = []
    const ask = (some: readonly NativeId[]) => this.#dialect.status(some)
    for (const { ids, output } of await this.#askOf([...arrays.keys()], ask, waits ? 'status' : undefined)) {
      const asked = new Map(ids.map((id) => [id, arrays.get(id)!]))
      const place = new Map(ids.map((id, at) => [id, at]))
      const found = this.#dialect.parseStatus(output, asked)
      const known = found.filter(({ id, index }) => index >= 0 && index < (asked.get(id) ?? 0))
      for (const report of known.sort((a, b) => place.get(a.id)! - place.get(b.id)! || a.index - b.index))
        reports.push(report)
    }
    return reports
  }

  async cancel(id: NativeId, indices?: readonly number[]): Promise<void> {
    if (!this.#isId(id)) return
    const commands = this.#dialect.cancel(id, indices)
    for (const some of inChunks(commands, ASKED_MAX))
      for (const [at, output] of (await this.#ask(some)).entries())
        if (output.exit !== 0 && !this.#dialect.isGone(output)) throw this.#refused(some[at]!, output)
  }

  /** Some of its tasks may have begun, or ended, which makes it fail for them alone. */
  async avoid(id: NativeId, nodes: readonly string[], options: readonly string[]): Promise<void> {
    if (this.#isId(id)) await this.#ask([this.#dialect.avoid!(id, nodes, options)])
  }

  async endings(ids: readonly NativeId[]): Promise<TaskEnding[]> {
    const { accounting, parseAccounting } = this.#dialect
    if (!accounting || !parseAccounting) return []
    const asked = new Set(ids)
    const answers = await this.#askOf(ids, accounting)
    return answers.flatMap(({ output }) => parseAccounting(output).filter(({ id }) => asked.has(id)))
  }

  async limits(): Promise<SiteLimits> {
    return this.#dialect.parseLimits(await this.#ask(this.#dialect.limits()))
  }

  /** Runs commands in one round trip. The first one must be there; others may be missing at a site. Those with a `turn` wait for it. */
  async #ask(commands: readonly Argv[], turn?: string): Promise<Output[]> {
    const mark = `floe-${this.#nonce()}`
    const { turns } = this.#options
    const lines = asking(commands, mark)
    const login = this.#login
    const output = await this.#run(
      turns && turn ? inTurn(lines, turn, turns, mark) : lines,
      this.#options.timeoutMs ?? TIMEOUT_MS,
    )
    const laterSec = laterIn(output, mark)
    if (laterSec !== undefined) {
      const waits = `${nameOf(commands[0]!)} at ${this.#where} is asked again in ${laterSec} s: it was asked just now`
      throw new TooEarly(waits, laterSec * 1000)
    }
    const replies = repliesIn(output, mark, commands)
    if (replies[0]?.exit !== 127) return replies
    if (login) throw this.#missing(commands[0]!)
    this.#login = true
    // The turn was just taken.
    return this.#ask(commands)
  }

  #run(lines: readonly string[], timeoutMs: number): Promise<Output> {
    const surroundings: Surroundings = {
      clears: this.#dialect.clears,
      keeps: this.#dialect.keeps,
      setup: this.#options.setup ?? [],
      login: this.#login,
    }
    return this.#options.transport.run(scriptOf(lines, surroundings), { timeoutMs })
  }

  #missing(words: Argv): ConnectorError {
    return new ConnectorError(
      'refused',
      `${nameOf(words)} was not found at ${this.#where}, by a login shell neither`,
      'Give the site a line of `setup:` that puts it on PATH, e.g. `module load slurm`, or correct `connector:`.',
    )
  }

  #refused(words: Argv, output: Output): ConnectorError {
    const { answer, hint } = this.#dialect.refusal(output)
    const kind = { again: 'unreachable', wait: 'wait', 'needs you': 'refused', never: 'never' } as const
    const message = `${nameOf(words)} at ${this.#where} ended with exit ${output.exit}: ${firstLines(output)}`
    const command = {
      tried: `${shortened(quoteWords(words))} on ${this.#where}`,
      exit: output.exit,
      said: (output.stderr.trim() || output.stdout.trim()).slice(0, SAID_MAX),
    }
    return new ConnectorError(kind[answer], message, hint, undefined, command)
  }

  get #where(): string {
    return this.#options.transport.where
  }

  #pause(ms: number): Promise<unknown> {
    return (this.#options.pause ?? pauseFor)(ms)
  }

  /** Ids of another form were never given by this scheduler, and one of them makes some commands refuse them all. */
  #isId(id: NativeId): boolean {
    return new RegExp(this.#dialect.idPattern).test(id)
  }

  /** Asks about ids, as many a command as it takes, all in one round trip. Where a scheduler cannot be asked for some, it is asked once. */
  async #askOf(
    all: readonly NativeId[],
    command: (ids: readonly NativeId[]) => Argv,
    turn?: 'status',
  ): Promise<{ ids: readonly NativeId[]; output: Output }[]> {
    const { idsMax } = this.#dialect.facts
    const ids = all.filter((id) => this.#isId(id))
    const questions = new Map<string, { words: Argv; ids: NativeId[] }>()
    for (let at = 0; at < ids.length; at += idsMax) {
      const some = ids.slice(at, at + idsMax)
      const words = command(some)
      const same = questions.get(words.join('\0'))
      if (same) same.ids.push(...some)
      else questions.set(words.join('\0'), { words, ids: some })
    }
    if (questions.size === 0) return []
    const asked = [...questions.values()]
    const outputs = await this.#ask(
      asked.map(({ words }) => words),
      turn,
    )
    return asked.map((question, at) => ({ ids: question.ids, output: outputs[at]! }))
  }
}
