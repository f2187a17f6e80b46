import { join } from 'node:path'
import type { Clock } from '../ports/clock.ts'
import type { Files } from '../ports/files/files.ts'
import {
  heldBy,
  holderIn,
  holds,
  justStarted,
  LENGTH_MS,
  type Lease,
  type LeaseFile,
  type Leases,
  ownLease,
  parseLease,
  takenOver,
  toText,
} from './lease.ts'

/*
 * lease-<epoch>.json in the directory of a campaign that does not lie on a disk: what lease.json says on one. The file of the highest epoch is the
 * lease. Its name is made only if nobody has it, so that of two that follow the same holder one gets it; whoever wakes after having been followed
 * finds a higher one at its next commit, and whatever it writes into its own file is read by nobody.
 */

/** Files that come and go while they are looked for. */
const LOOKS = 5

interface Current {
  /** 0: nobody ever held it. */
  readonly epoch: number
  /** Undefined: nothing can be read of it. */
  readonly lease: LeaseFile | undefined
}

export const leaseFile = (epoch: number): string => `lease-${epoch}.json`

export function epochOf(name: string): number | undefined {
  const [, epoch] = /^lease-(\d+)\.json$/.exec(name) ?? []
  return epoch === undefined ? undefined : Number(epoch)
}

export function leasesIn(files: Files, root: string, clock: Clock): Leases {
  const pathOf = (epoch: number) => join(root, leaseFile(epoch))
  const epochs = async () => (await files.names(root)).flatMap((name) => epochOf(name) ?? [])
  const read = async (epoch: number) => {
    const text = await files.read(pathOf(epoch))
    return text && parseLease(text.toString('utf8'))
  }
  const current = async (): Promise<Current> => {
    let epoch = 0
    for (let look = 0; look < LOOKS; look++) {
      epoch = Math.max(0, ...(await epochs()))
      const text = epoch > 0 ? await files.read(pathOf(epoch)) : undefined
      if (epoch === 0 || text !== undefined) return { epoch, lease: text && parseLease(text.toString('utf8')) }
    }
    return { epoch, lease: undefined }
  }
  return {
    async take(verb = 'run') {
      const old = await current()
      if (old.lease && holds(old.lease, clock)) throw heldBy(old.lease)
      let epoch = old.epoch + 1
      while (!(await files.create(pathOf(epoch), toText(ownLease({ verb, epoch, clock }))))) {
        const other = await read(epoch)
        if (!other || holds(other, clock)) throw justStarted(other)
        epoch++
      }
      const guard = async () => {
        const now = Math.max(...(await epochs()))
        if (now !== epoch) throw takenOver(now > epoch ? await read(now) : undefined)
      }
      // While it was being made others may have come and gone.
      await guard().catch(async (cause: unknown) => {
        await files.remove(pathOf(epoch))
        throw cause
      })
      for (const before of await epochs()) if (before < epoch) await files.remove(pathOf(before))
      return held({
        guard,
        write: (expiry) => files.write(pathOf(epoch), toText({ ...ownLease({ verb, epoch, clock }), ...expiry })),
        epoch,
      })
    },
    holder: async (verb) => holderIn((await current()).lease, clock, verb),
  }
}

/** Writes it anew every third of its length. */
function held({
  epoch,
  guard,
  write,
}: Pick<Lease, 'epoch' | 'guard'> & { write: (expiry: { expires_at?: number }) => Promise<void> }): Lease {
  let writing: Promise<void> | undefined
  const renew = setInterval(() => {
    // What cannot be written now is written next time; nothing rests on it as long as nobody follows.
    writing ??= guard()
      .then(() => write({}))
      .catch(() => {})
      .finally(() => {
        writing = undefined
      })
  }, LENGTH_MS / 3)
  renew.unref()
  return {
    epoch,
    guard,
    async release() {
      clearInterval(renew)
      await writing
      // The epoch stays, so that it only grows; an expired lease is free. One that cannot be given back runs out.
      await guard()
        .then(() => write({ expires_at: 0 }))
        .catch(() => {})
    },
  }
}
