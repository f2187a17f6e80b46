import { type FileHandle, open, rm } from 'node:fs/promises'
import { quoteName, quotePath } from '../ports/tables/tables.ts'
import type { Adding, JobFile, Piece } from './adding.ts'
import { type Fault, GIVEN, type GivenColumn, type GivenJob } from './given.ts'
import { isFault } from './job-form.ts'

/** Text that is kept before it goes to the scratch file, and rows of one scratch file, both in characters. */
const PAGE = 1 << 20
const PIECE = 24 << 20

/** How JSON.stringify spells half of a surrogate pair, which no UTF-8 can hold. */
const HALF_CHARACTER = /(?<!\\)(?:\\\\)*\\ud[89a-f]/
const HALF_CHARACTERS = new RegExp(`${HALF_CHARACTER.source}[0-9a-f]{2}`, 'g')
const BROKEN: Fault = { job: null, value: null, reason: 'a text holds half of a character', hint: 'write it in UTF-8' }

/**
 * Jobs that were read in JavaScript, on their way to the catalog: written as NDJSON to a scratch file and read by SQL piece by piece, while
 * the next piece is being made. Holds a page in memory whatever the number of jobs.
 */
export class Spool {
  readonly #adding: Adding
  readonly #file: JobFile
  readonly #columns = new Set<GivenColumn>()
  #lines: string[] = []
  #held = 0
  #written = 0
  /** Characters of the longest line of the piece. */
  #longest = 0
  #faults: string[] = []
  #piece: { path: string; handle: FileHandle } | undefined
  #reading: Promise<Piece | undefined> = Promise.resolve(undefined)

  constructor(adding: Adding, file: JobFile) {
    this.#adding = adding
    this.#file = file
  }

  /** Takes one job, or what is wrong with it. When this returns true, `flush` before the next. */
  push(line: number, form: GivenJob | Fault): boolean {
    if (isFault(form)) {
      this.#faults.push(JSON.stringify({ line, ...form }).replace(HALF_CHARACTERS, '\ufffd'))
      return this.#faults.length >= 10_000
    }
    const text = JSON.stringify(form)
    if (HALF_CHARACTER.test(text)) return this.push(line, BROKEN)
    for (const name in form) this.#columns.add(name as GivenColumn)
    return this.#take(text === '{}' ? `{"line":${line}}\n` : `{"line":${line},${text.slice(1)}\n`)
  }

  #take(text: string): boolean {
    this.#lines.push(text)
    this.#held += text.length
    if (text.length > this.#longest) this.#longest = text.length
    return this.#held >= PAGE
  }

  async flush(): Promise<void> {
    if (this.#faults.length > 0) await this.#writeFaults()
    if (this.#held === 0) return
    if (!this.#piece) {
      const path = this.#adding.scratchPath('jobs.ndjson')
      this.#piece = { path, handle: await open(path, 'w', 0o600) }
    }
    await this.#piece.handle.appendFile(this.#lines.join(''))
    this.#written += this.#held
    this.#lines = []
    this.#held = 0
    if (this.#written >= PIECE) await this.#endPiece()
  }

  /** All rows were taken when this resolves. */
  async end(): Promise<void> {
    await this.flush()
    await this.#endPiece()
    await this.#reading
  }

  async #endPiece(): Promise<void> {
    // An error of the piece before is thrown here, before more is read.
    const onto = await this.#reading
    const piece = this.#piece
    if (!piece) return
    this.#piece = undefined
    this.#written = 0
    await piece.handle.close()
    const columns = new Set<GivenColumn>(['line', ...this.#columns])
    this.#reading = this.#adding
      .insert(this.#file, { columns, select: readGiven(piece.path, columns, this.#longest) }, onto)
      .finally(() => rm(piece.path, { force: true }))
    this.#longest = 0
    this.#reading.catch(() => {})
  }

  async #writeFaults(): Promise<void> {
    const path = this.#adding.scratchPath('faults.ndjson')
    const handle = await open(path, 'w', 0o600)
    await handle.appendFile(`${this.#faults.join('\n')}\n`)
    await handle.close()
    this.#faults = []
    await this.#adding.sql.run(`INSERT INTO add_faults SELECT ${this.#file.file}, line, job, value, reason, hint
      FROM read_json(${quotePath(path)}, format = 'newline_delimited', columns = {line: 'BIGINT', job: 'VARCHAR', value: 'VARCHAR',
        reason: 'VARCHAR', hint: 'VARCHAR'})`)
    await rm(path, { force: true })
  }
}

/** `longest` in characters, of which UTF-8 makes three bytes at most. SQL keeps twice the longest line for each thread. */
function readGiven(path: string, columns: ReadonlySet<GivenColumn>, longest: number): string {
  const types = [...columns].map((name) => `${quoteName(name)}: '${GIVEN[name]}'`)
  return `SELECT * FROM read_json(${quotePath(path)}, format = 'newline_delimited', columns = {${types.join(', ')}}, maximum_object_size = ${Math.max(1 << 20, 3 * longest)})`
}
