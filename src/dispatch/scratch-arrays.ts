import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { ConnectorError } from '../../connectors/connector.ts'
import { quote } from '../../connectors/quote.ts'
import type { Output, Transport } from '../../connectors/transport/transport.ts'
import type { SitePaths } from '../model/campaign.ts'
import { pullRecords } from './pull-records.ts'
import type { Seal, SiteUsage, Submission } from './site.ts'

export interface ScratchPlace {
  /** For messages. */
  readonly site: string
  /** The directory that sites.yaml names. */
  readonly scratch: string
  readonly paths: SitePaths
  /** Directories on this machine that stand for them. */
  readonly mirror: SitePaths
}

/** A file system that hangs must not hold everything else; `du` and `rm` of many files take their time. */
const TIMEOUT_MS = 900_000
/** Exit of a script that found no scratch directory at all, and of one that found an array there already. */
const NO_SCRATCH = 71
const IS_THERE = 79

/** As `makeArray` of run/ names them. What is removed is named, never made of an empty word. */
const ARRAY_ID = /^a\d{6,}$/

/** The directories of a campaign's arrays on a scratch file system, and their mirrors here. */
export class ScratchArrays {
  readonly #transport: Transport
  readonly #place: ScratchPlace

  constructor(transport: Transport, place: ScratchPlace) {
    this.#transport = transport
    this.#place = place
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

  /** The index comes last: an array with an index is staged. */
  async send(id: string): Promise<void> {
    for (const name of ['manifest', 'index'])
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
  }

  pull(ids: readonly string[]): Promise<ReadonlySet<string>> {
    const { scratch, paths, mirror } = this.#place
    return pullRecords(this.#transport, { scratch, there: paths.arrays, here: mirror.arrays, ids })
  }

  /**
   * Seals tasks that are given up, by a record of their next attempt: one that starts all the same finds it and leaves. Answers those that
   * could not be sealed, since a runner has just taken that attempt.
   */
  async seal(id: string, seals: readonly Seal[]): Promise<ReadonlySet<number>> {
    const { stdout } = await this.#run(
      `cd ${quote(this.#there(id))}/records || exit 1
       umask 077
       seal() { ( set -C; printf '%s' "$2" >"$1" ) 2>/dev/null || printf '%s\\n' "$1"; }
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

  async sendCancel(id: string): Promise<void> {
    const here = join(this.#here(id), 'cancel')
    if (!existsSync(here) || readFileSync(here).length === 0) return
    await this.#transport.send([{ here, there: posix.join(this.#there(id), 'cancel') }])
  }

  /** Bytes on the disk of each array that is there, and of the cache of all campaigns of this user. */
  async usage(): Promise<SiteUsage> {
    const { arrays, cache, campaign } = this.#place.paths
    const { stdout } = await this.#run(
      `if cd ${quote(arrays)} 2>/dev/null; then
         for id in a*; do [ -d "$id" ] && printf 'array %s %s\\n' "$id" "$(du -sk "$id" | cut -f 1)"; done
       fi
       if cd ${quote(cache)} 2>/dev/null; then
         printf 'cache %s %s\\n' "$(ls | grep -vc '[.]whole$')" "$(du -sk . | cut -f 1)"
       fi
       for other in ${quote(posix.dirname(campaign))}/*/arrays/a*; do
         case $other in ${quote(arrays)}/*) ;; *) [ -d "$other" ] && { echo shared 1 1; break; } ;; esac
       done
       :`,
      { tried: 'look how full the scratch is' },
    )
    const bytes = new Map<string, number>()
    const usage = { cached: 0, cacheBytes: 0, isShared: false }
    for (const line of stdout.split('\n')) {
      const [word, name = '', blocks] = line.split(' ')
      if (word === 'array') bytes.set(name, Number(blocks) * 1024)
      else if (word === 'cache') Object.assign(usage, { cached: Number(name), cacheBytes: Number(blocks) * 1024 })
      else if (word === 'shared') usage.isShared = true
    }
    return { arrays: bytes, ...usage }
  }

  async remove(ids: readonly string[], { cache }: { cache: boolean }): Promise<void> {
    const named = ids.filter((id) => ARRAY_ID.test(id)).map((id) => this.#there(id))
    const folders = [...named, ...(cache ? [this.#place.paths.cache] : [])]
    if (folders.length === 0) return
    await this.#run(
      `gone=0
       for folder in ${folders.map(quote).join(' ')}; do
         [ -e "$folder" ] || continue
         # What was carried is read-only, folders too.
         chmod -R u+w "$folder" 2>/dev/null
         # A task that just ended may still write its last words.
         rm -rf "$folder" 2>/dev/null || { sleep 1; rm -rf "$folder"; } || gone=1
       done
       exit $gone`,
      { tried: 'remove what is not needed any more' },
    )
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

  /** Runs where the scratch is there; other exits than 0 and `answers` are errors with what the site said. */
  async #run(script: string, { tried, answers = [] }: { tried: string; answers?: readonly number[] }): Promise<Output> {
    const { scratch, site } = this.#place
    const output = await this.#transport.run(
      `LC_ALL=C; export LC_ALL\n[ -d ${quote(scratch)} ] || exit ${NO_SCRATCH}\n${script}`,
      { timeoutMs: TIMEOUT_MS },
    )
    const { exit, stderr } = output
    if (exit === 0 || answers.includes(exit)) return output
    if (exit === NO_SCRATCH) {
      throw new ConnectorError(
        'unreachable',
        `there is no directory ${scratch} at ${this.#transport.where}`,
        `Correct \`scratch:\` of ${site} in sites.yaml; or the file system is away for now: wait and run again, nothing is lost.`,
      )
    }
    throw new ConnectorError(
      'refused',
      `${this.#transport.where} could not ${tried}: ${lastLine(stderr) || `exit ${exit}`}`,
      `Look at \`scratch:\` of ${site} in sites.yaml: ${scratch} has to be writable for you and to have room.`,
    )
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

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''
