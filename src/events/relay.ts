import { closeSync, openSync, readFileSync, readSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sitePaths } from '../model/campaign.ts'
import { glanceAtRecord } from '../model/record.ts'
import type { Bus, Message } from '../ports/bus/bus.ts'
import { namesIn } from './read-records.ts'
import { messagesOf } from './to-event.ts'

/** How far a record file was told. */
interface Mark {
  readonly bytes: number
  readonly lines: number
  /** Null before its first line. */
  readonly batch: number | null
}

type Marks = Record<string, Mark>

/** An array as the relay finds it. */
export interface RelayedArray {
  readonly campaign: string
  readonly id: string
  readonly directory: string
}

export interface RelayRound {
  readonly sent: number
  readonly damaged: number
}

/** Bytes that are read, and told, in one go; a few are under way at a time. */
const READ_BYTES = 2 << 20
const UNDER_WAY = 8
/** An array without news is looked at less often, in rounds. */
const REST_MAX = 16
const MARKS_FILE = 'told'

/** Arrays of all campaigns in a scratch, or of one. */
export function arraysIn(scratch: string, campaign?: string): RelayedArray[] {
  const campaigns = campaign === undefined ? namesIn(`${scratch}/floe/campaigns`) : [campaign]
  return campaigns.flatMap((name) => {
    const { arrays } = sitePaths(scratch, name)
    return namesIn(arrays).map((id) => ({ campaign: name, id, directory: join(arrays, id) }))
  })
}

/**
 * Tells record lines of arrays to a bus: at least once, and in the order of each file. How far it came stands in each array's directory,
 * so that nothing is kept in memory while the bus is away, and any other relay goes on from there. What the bus did not take is told again.
 */
export class Relay {
  readonly #bus: Bus
  readonly #site: string
  readonly #resting = new Map<string, { rounds: number; left: number }>()

  constructor(bus: Bus, site: string) {
    this.#bus = bus
    this.#site = site
  }

  /** Tells what is new; `isLast`: also of arrays that had none for a while. Throws what the bus throws; what it took is then noted all the same. */
  async round(arrays: readonly RelayedArray[], { isLast = false } = {}): Promise<RelayRound> {
    const total = { sent: 0, damaged: 0 }
    for (const array of arrays) {
      if (!isLast && this.#isResting(array.directory)) continue
      const { sent, damaged } = await this.#tell(array)
      total.sent += sent
      total.damaged += damaged
      this.#rest(array.directory, sent > 0)
    }
    return total
  }

  #isResting(directory: string): boolean {
    const rest = this.#resting.get(directory)
    if (!rest || rest.left === 0) return false
    rest.left--
    return true
  }

  #rest(directory: string, isNews: boolean): void {
    const rounds = isNews ? 0 : Math.min(REST_MAX, (this.#resting.get(directory)?.rounds ?? 0) * 2 + 1)
    this.#resting.set(directory, { rounds, left: isNews ? 0 : rounds - 1 })
  }

  async #tell(array: RelayedArray): Promise<RelayRound> {
    const marks = readMarks(array.directory)
    const total = { sent: 0, damaged: 0 }
    let parcels: Parcel[] = []
    const settle = async () => {
      await Promise.all(parcels.map(({ told }) => told))
      for (const { name, mark, messages, damaged } of parcels) {
        marks[name] = mark
        total.sent += messages
        total.damaged += damaged
      }
      if (parcels.length > 0) writeMarks(array.directory, marks)
      parcels = []
    }
    for (const name of recordFiles(array.directory)) {
      let mark: Mark = marks[name] ?? { bytes: 0, lines: 0, batch: null }
      for (;;) {
        const read = this.#read(array, name, mark)
        if (read.mark.bytes === mark.bytes) break
        mark = read.mark
        const told = this.#bus.send(read.messages)
        // It is waited for with the others of its window.
        told.catch(() => {})
        // What was read is under way before more is read.
        await new Promise(setImmediate)
        parcels.push({ name, mark, told, messages: read.messages.length, damaged: read.damaged })
        if (parcels.length === UNDER_WAY) await settle()
      }
    }
    await settle()
    return total
  }

  #read({ campaign, id, directory }: RelayedArray, name: string, mark: Mark): Read {
    const [task, attempt] = name.split('.').map(Number) as [number, number]
    const bytes = readFrom(join(directory, 'records', name), mark.bytes)
    const messages: Message[] = []
    let { lines, batch } = mark
    const tell = messagesOf({ campaign, site: this.#site, array: id, task, attempt })
    let damaged = 0
    let at = 0
    for (let newline = bytes.indexOf(10, at); newline >= 0; newline = bytes.indexOf(10, at)) {
      const record = glanceAtRecord(bytes.toString('utf8', at, newline))
      at = newline + 1
      lines++
      batch = record?.batch ?? batch
      if (record && batch !== null) messages.push(tell(record, { batch, line: lines }))
      else damaged++
    }
    return { mark: { bytes: mark.bytes + at, lines, batch }, messages, damaged }
  }
}

interface Read {
  readonly mark: Mark
  readonly messages: readonly Message[]
  readonly damaged: number
}

interface Parcel {
  readonly name: string
  readonly mark: Mark
  readonly told: Promise<void>
  readonly messages: number
  readonly damaged: number
}

/** Its records hold lines that no relay has told. */
export function hasNews(directory: string): boolean {
  const marks = readMarks(directory)
  return recordFiles(directory).some((name) =>
    readFrom(join(directory, 'records', name), marks[name]?.bytes ?? 0).includes(10),
  )
}

/** Attempts of a task in their order. */
const recordFiles = (directory: string): string[] =>
  namesIn(join(directory, 'records'))
    .filter((name) => /^\d+\.\d+$/.test(name))
    .sort((a, b) => Number(a.slice(a.indexOf('.') + 1)) - Number(b.slice(b.indexOf('.') + 1)))

/** Long lines are read whole, whatever the usual size. */
function readFrom(path: string, start: number): Buffer {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (size <= start) return Buffer.alloc(0)
  const fd = openSync(path, 'r')
  try {
    for (let wanted = READ_BYTES; ; wanted *= 2) {
      const buffer = Buffer.allocUnsafe(Math.min(size - start, wanted))
      const bytes = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, start))
      if (bytes.includes(10) || wanted >= size - start) return bytes
    }
  } finally {
    closeSync(fd)
  }
}

function readMarks(directory: string): Marks {
  try {
    const { v, files } = JSON.parse(readFileSync(join(directory, MARKS_FILE), 'utf8')) as { v: number; files: Marks }
    return v === 1 ? files : {}
  } catch {
    // None yet, or damaged: everything is told once more.
    return {}
  }
}

function writeMarks(directory: string, files: Marks): void {
  const aside = join(directory, `.${MARKS_FILE}.${process.pid}`)
  try {
    writeFileSync(aside, JSON.stringify({ v: 1, files }), { mode: 0o600 })
    renameSync(aside, join(directory, MARKS_FILE))
  } catch (error) {
    // The array was taken away meanwhile: nothing of it is left to tell.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
