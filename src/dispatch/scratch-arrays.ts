import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join, posix } from 'node:path'
import { ConnectorError } from '../../connectors/connector.ts'
import { quote } from '../../connectors/quote.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import type { SitePaths } from '../model/campaign.ts'
import { pullRecords, readPartThere } from './pull-records.ts'
import { type ReserveAsked, type Reserved, reserveTasks } from './reserve.ts'
import { removeFrom, usageOf } from './scratch-clean.ts'
import { type ScratchShell, scratchShell } from './scratch-shell.ts'
import { type Seal, type SiteUsage, type Submission, writePrivately } from './site.ts'
import { fullIn, ROOM_BYTES } from './translate.ts'

/** Bytes of a file `hdfs` at most: it has some hundred for each HDFS. */
const ENTRANCES_MAX = 1_000_000

export interface ScratchPlace {
  /** For messages. */
  readonly site: string
  /** The directory that sites.yaml names. */
  readonly scratch: string
  readonly paths: SitePaths
  /** Directories on this machine that stand for them. */
  readonly mirror: SitePaths
}

/** A runner writes into its record at once. Minutes, by the clock of the file system. */
const BEGINS_MIN = 5
/** Exit of a script that found an array there already. */
const IS_THERE = 79

/** The directories of a campaign's arrays on a scratch file system, and their mirrors here. */
export class ScratchArrays {
  readonly #transport: Transport
  readonly #place: ScratchPlace
  readonly #run: ScratchShell

  constructor(transport: Transport, place: ScratchPlace) {
    this.#transport = transport
    this.#place = place
    this.#run = scratchShell(transport, place)
  }

  /** False: the directory was there. `umask` for all that is made on the way; records and logs are there before a task looks. */
  async make(id: string): Promise<boolean> {
    const directory = this.#there(id)
    const { exit } = await this.#run(
      `umask 077
       mkdir -p ${quote(this.#place.paths.arrays)} || exit 1
       mkdir ${quote(directory)} || { [ -d ${quote(directory)} ] && exit ${IS_THERE}; exit 1; }
       mkdir ${quote(`${directory}/records`)} ${quote(`${directory}/logs`)} || { rmdir ${quote(directory)}; exit 1; }`,
      { tried: `make ${directory}`, answers: [IS_THERE] },
    )
    if (exit === IS_THERE) return false
    mkdirSync(this.#here(id), { recursive: true, mode: 0o700 })
    return true
  }

  reserve(asked: ReserveAsked): Promise<Reserved> {
    return reserveTasks(this.#run, this.#place.paths, asked)
  }

  /** Names of what it reads of the cache, noted before they are looked for there. */
  async need(id: string, names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    const path = posix.join(this.#there(id), 'needs')
    await this.#run(`umask 077; printf '%s\\n' ${names.map(quote).join(' ')} >>${quote(path)}`, {
      tried: `write into ${this.#there(id)}`,
    })
  }

  async release(ids: readonly string[]): Promise<void> {
    await this.#run(
      `cd ${quote(this.#place.paths.arrays)} 2>/dev/null || exit 0
       for id in ${ids.map(quote).join(' ')}; do [ -f "$id/needs" ] && mv -f "$id/needs" "$id/needed"; done
       :`,
      { tried: 'let go of what arrays needed' },
    )
  }

  /** The index comes last: an array with an index is staged. */
  async send(id: string): Promise<void> {
    const some = ['hdfs', 'places'].filter((name) => existsSync(join(this.#here(id), name)))
    const names = ['manifest', ...some, 'index']
    for (const name of names)
      await this.#transport.send([{ here: join(this.#here(id), name), there: posix.join(this.#there(id), name) }])
  }

  /** Only a directory that is surely not there is `gone`: what cannot be looked at now may be running. */
  async submission(id: string): Promise<Submission> {
    const directory = quote(this.#there(id))
    const { stdout } = await this.#run(
      `[ -e ${directory} ] || { echo gone; exit 0; }
       cd ${directory} || exit 1
       # Two submissions may have reached the scheduler: the one whose task was first to start runs, whatever the file id says.
       if [ -s owner ]; then echo submitted; sed -n '1s/ [^ ]*$//p' owner || exit 1
       elif [ -s id ]; then echo submitted; cat id || exit 1
       elif [ -e tried ]; then echo tried
       else echo not tried; fi`,
      { tried: `look into ${this.#there(id)}` },
    )
    const [state = '', nativeId = ''] = stdout.trimEnd().split('\n')
    mkdirSync(this.#here(id), { recursive: true, mode: 0o700 })
    if (state === 'gone' || state === 'not tried') return { state, nativeId: undefined }
    await this.#restore(id)
    if (state === 'submitted' && nativeId !== '') return { state, nativeId: nativeId.trim() }
    if (state === 'tried') return { state, nativeId: undefined }
    throw this.#unreadable(`said of array ${id}`, stdout)
  }

  /** The mirror is a cache: what it lacks of a staged array comes from the site. */
  async #restore(id: string): Promise<void> {
    const wanted = ['manifest', 'index'].filter((name) => !existsSync(join(this.#here(id), name)))
    if (wanted.length === 0) return
    await this.#transport.fetch(
      wanted.map((name) => ({ here: join(this.#here(id), name), there: posix.join(this.#there(id), name) })),
    )
    const range = { offset: 0, bytes: ENTRANCES_MAX }
    const entrances = await readPartThere(this.#transport, posix.join(this.#there(id), 'hdfs'), range)
    if (entrances) writePrivately(join(this.#here(id), 'hdfs'), entrances.toString())
  }

  pull(ids: readonly string[]): Promise<ReadonlySet<string>> {
    const { scratch, paths, mirror } = this.#place
    return pullRecords(this.#transport, { scratch, there: paths.arrays, here: mirror.arrays, ids })
  }

  /**
   * Seals tasks that are given up, by a record of their next attempt: one that starts all the same finds it and leaves. Answers those that
   * could not be sealed, since a runner has just taken that attempt. One whose file is empty and minutes old was killed before it wrote.
   */
  async seal(id: string, seals: readonly Seal[]): Promise<ReadonlySet<number>> {
    const { stdout } = await this.#run(
      `cd ${quote(this.#there(id))}/records || exit 1
       umask 077
       never() { [ -n "$(find "$1" -prune -size 0 -mmin +${BEGINS_MIN} 2>/dev/null)" ]; }
       seal() {
         ( set -C; printf '%s' "$2" >"$1" ) 2>/dev/null || { never "$1" && printf '%s' "$2" >>"$1"; } || printf '%s\\n' "$1"
       }
       ${seals.map(({ task, attempt, line }) => `seal ${task}.${attempt} ${quote(line)}`).join('\n')}`,
      { tried: `seal tasks of ${id}` },
    )
    return new Set(
      stdout
        .split('\n')
        .filter(Boolean)
        .map((name) => Number.parseInt(name, 10)),
    )
  }

  /** What is said when something is written that needs some room; undefined: it can be written, or it is something else that fails. */
  async lack(): Promise<string | undefined> {
    const { stdout } = await this.#run(
      `cd ${quote(this.#place.paths.arrays)} 2>/dev/null || exit 0
       { head -c ${ROOM_BYTES} /dev/zero >.room.$$ && sync .room.$$; } 2>&1
       rm -f .room.$$`,
      { tried: 'see whether it has room' },
    )
    return fullIn(stdout)
  }

  async sendCancel(id: string): Promise<void> {
    const here = join(this.#here(id), 'cancel')
    if (!existsSync(here) || readFileSync(here).length === 0) return
    await this.#transport.send([{ here, there: posix.join(this.#there(id), 'cancel') }])
  }

  async sendEntrances(id: string, text: string): Promise<void> {
    const here = join(this.#here(id), 'hdfs')
    // Here it is in place once it is there: what does not arrive is sent again.
    writePrivately(`${here}.sent`, text)
    // Sending makes the folders above, and one that was purged must not seem to be there.
    const { exit } = await this.#run(`[ -d ${quote(this.#there(id))}/records ] || exit ${IS_THERE}`, {
      tried: `look at ${this.#there(id)}`,
      answers: [IS_THERE],
    })
    if (exit === IS_THERE) return
    await this.#transport.send([{ here: `${here}.sent`, there: posix.join(this.#there(id), 'hdfs') }])
    renameSync(`${here}.sent`, here)
  }

  usage(): Promise<SiteUsage> {
    return usageOf(this.#run, this.#place.paths)
  }

  remove(ids: readonly string[], cached: readonly string[]): Promise<ReadonlySet<string>> {
    return removeFrom(this.#run, this.#place.paths, { ids, cached })
  }

  /** Regular files below a folder, by their paths in it; undefined: it is not there. */
  async list(folder: string): Promise<readonly string[] | undefined> {
    const { stdout, exit } = await this.#run(
      `[ -d ${quote(folder)} ] || exit ${IS_THERE}; cd ${quote(folder)} && find -L . -type f -print0`,
      { tried: `list ${folder}`, answers: [IS_THERE] },
    )
    if (exit === IS_THERE) return undefined
    return stdout
      .split('\0')
      .filter(Boolean)
      .map((path) => path.slice('./'.length))
      .sort()
  }

  #unreadable(what: string, text: string): ConnectorError {
    return new ConnectorError(
      'unreadable',
      `${this.#transport.where} ${what}: ${JSON.stringify(text.slice(0, 120))}`,
      'Nothing was concluded from it; run again.',
    )
  }

  #there(id: string): string {
    return posix.join(this.#place.paths.arrays, id)
  }

  #here(id: string): string {
    return join(this.#place.mirror.arrays, id)
  }
}
