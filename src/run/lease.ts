import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'

/*
 * lease.json in a campaign: {host, pid, started, verb, epoch, expires_at}. Whoever holds it coordinates; a takeover raises the epoch, and each
 * table commit looks whether the epoch is still its own. Times are milliseconds; the holder writes it anew every third of its length.
 */
export type LeaseVerb = 'run' | 'plan' | 'clean'

export interface LeaseFile {
  readonly host: string
  readonly pid: number
  /** Start time of the process, so that a reused pid is not taken for the holder. */
  readonly started: string | null
  /** What it does; older files do not say. */
  readonly verb?: LeaseVerb
  readonly epoch: number
  readonly expires_at: number
}

export interface Lease {
  readonly epoch: number
  /** Throws RUN_LOCKED when another coordinator took over. */
  guard(): Promise<void>
  release(): void | Promise<void>
}

/** Who may coordinate a campaign. */
export interface Leases {
  /** Throws RUN_LOCKED with who holds it. */
  take(verb?: LeaseVerb): Promise<Lease>
  /** Who does that with the campaign now, if somebody does; who plans or cleans runs nothing. */
  holder(verb?: LeaseVerb): Promise<{ readonly host: string; readonly pid: number } | undefined>
}

/** Of a campaign on a disk. */
export const diskLeases = (root: string, clock: Clock): Leases => ({
  take: async (verb) => takeLease(root, clock, verb),
  holder: async (verb) => leaseHolder(root, clock, verb),
})

export const LENGTH_MS = 60_000

/** Takes the lease of a campaign or throws RUN_LOCKED with who holds it. A holder that died on this host is followed at once. */
export function takeLease(root: string, clock: Clock, verb: LeaseVerb = 'run'): Lease {
  const path = join(root, 'lease.json')
  const old = readLease(path)
  if (old && holds(old, clock)) throw heldBy(old)
  const aside = join(root, `.lease.${process.pid}`)
  const fenceOf = (epoch: number) => join(root, `.lease.epoch-${epoch}`)
  const write = (epoch: number) => {
    writeFileSync(aside, toText(ownLease({ verb, epoch, clock })), { mode: 0o600 })
  }
  const epoch = raiseEpoch(old?.epoch ?? 0)
  renameSync(aside, path)
  rmSync(fenceOf(epoch - 1), { force: true })
  const renew = setInterval(() => {
    if (readLease(path)?.epoch !== epoch) return
    leniently(() => {
      write(epoch)
      renameSync(aside, path)
    })
  }, LENGTH_MS / 3)
  renew.unref()
  return {
    epoch,
    async guard() {
      const now = readLease(path)
      if (now?.epoch !== epoch || now.pid !== process.pid) throw takenOver(now)
    },
    release() {
      clearInterval(renew)
      // The epoch stays, so that it only grows; an expired lease is free.
      const lease = readLease(path)
      if (lease?.epoch !== epoch) return
      leniently(() => {
        writeFileSync(aside, toText({ ...lease, expires_at: 0 }), { mode: 0o600 })
        renameSync(aside, path)
        rmSync(fenceOf(epoch), { force: true })
      })
    },
  }

  /** Of two that follow the same dead holder only one can make the name of an epoch; a name whose maker died is passed over. */
  function raiseEpoch(from: number): number {
    for (let next = from + 1; ; next++) {
      write(next)
      try {
        linkSync(aside, fenceOf(next))
        return next
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
        const fenced = readLease(fenceOf(next))
        if (!fenced || holds(fenced, clock)) {
          rmSync(aside, { force: true })
          throw justStarted(fenced)
        }
      }
    }
  }
}

/** As this process holds it from now on. */
export const ownLease = ({ verb, epoch, clock }: { verb: LeaseVerb; epoch: number; clock: Clock }): LeaseFile => ({
  ...{ host: hostname(), pid: process.pid, started: processStart(process.pid) },
  ...{ verb, epoch, expires_at: clock.now() + LENGTH_MS },
})

export const toText = (lease: LeaseFile): string => `${JSON.stringify(lease)}\n`

const commandOf = (lease: LeaseFile | undefined): string => `\`floe ${lease?.verb ?? 'run'}\``

export const heldBy = (lease: LeaseFile): FloeError =>
  new FloeError(
    'RUN_LOCKED',
    `Another ${commandOf(lease)} works on this campaign: process ${lease.pid} on ${lease.host}.`,
    { details: { host: lease.host, pid: lease.pid } },
  )

export const justStarted = (lease: LeaseFile | undefined): FloeError =>
  new FloeError('RUN_LOCKED', `Another ${commandOf(lease)} has just started on this campaign.`)

export const takenOver = (lease: LeaseFile | undefined): FloeError =>
  new FloeError('RUN_LOCKED', `Another ${commandOf(lease)} took this campaign over; this one stops.`)

/** On a full disk the lease runs out by itself; the commit that meets the disk says so, and its error is the one to tell. */
function leniently(write: () => void): void {
  try {
    write()
  } catch {
    // Nothing rests on it.
  }
}

/** Who does that with the campaign now, if somebody does; who plans or cleans runs nothing. */
export function leaseHolder(
  root: string,
  clock: Clock,
  verb: LeaseVerb = 'run',
): { host: string; pid: number } | undefined {
  return holderIn(readLease(join(root, 'lease.json')), clock, verb)
}

export const holderIn = (
  lease: LeaseFile | undefined,
  clock: Clock,
  verb: LeaseVerb = 'run',
): { host: string; pid: number } | undefined =>
  lease && (lease.verb ?? 'run') === verb && holds(lease, clock) ? { host: lease.host, pid: lease.pid } : undefined

export function holds(lease: LeaseFile, clock: Clock): boolean {
  if (lease.expires_at <= 0) return false
  if (lease.host !== hostname()) return lease.expires_at > clock.now()
  const started = processStart(lease.pid)
  if (lease.started !== null) return started === lease.started
  return lease.expires_at > clock.now()
}

/** Start time of a process in clock ticks since boot, by /proc; null: no such process, or no /proc. */
export function processStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

function readLease(path: string): LeaseFile | undefined {
  try {
    return parseLease(readFileSync(path, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Undefined: no JSON. */
export function parseLease(text: string): LeaseFile | undefined {
  try {
    return JSON.parse(text) as LeaseFile
  } catch {
    return undefined
  }
}
