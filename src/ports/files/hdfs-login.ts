import { readFileSync } from 'node:fs'
import { FloeError } from '../../model/errors.ts'

/**
 * The delegation token to go in with. Who was refused with one says so, and is given another; the same again: there is none. Throws HDFS_LOGIN and
 * what asking HDFS for one does.
 */
export type Tokens = (refused?: string) => Promise<string>

/** Who a client of HDFS is, as it changes with time. */
export interface Login {
  readonly tokens: Tokens
  /** Lengthens the life of the token when it is time. Answers what a person has to see to before it ends; null: nothing. Never throws. */
  keep(nowMs: number): Promise<string | null>
}

const DAY_MS = 86_400_000
/** After a renewal that failed. */
const AGAIN_MS = 60_000

/** A file that somebody puts tokens in, for all that floe knows for good. */
export function tokenInFile(path: string): Login {
  let held: string | undefined
  const read = (): string => {
    try {
      held = readFileSync(path, 'utf8').trim()
    } catch (cause) {
      throw new FloeError('HDFS_LOGIN', `the delegation token cannot be read: ${(cause as Error).message}`, { cause })
    }
    if (endOf(held) !== undefined) return held
    throw new FloeError('HDFS_LOGIN', `${path} holds no delegation token`, {
      hint: '`urlString` of what GETDELEGATIONTOKEN of WebHDFS answers is one.',
    })
  }
  return {
    tokens: async (refused) => (held === undefined || held === refused ? read() : held),
    async keep(nowMs) {
      try {
        const endsMs = endOf(read())
        if (endsMs === undefined || endsMs - nowMs > DAY_MS) return null
        return `the delegation token in ${path} ${ends(endsMs, nowMs)}: put a new one there`
      } catch (cause) {
        return (cause as FloeError).message
      }
    },
  }
}

/** What a client that logs in by Kerberos can be asked for. */
export interface TokenClerk {
  takeToken(): Promise<string>
  /** Until when it may be used now, ms since 1970. */
  renewToken(token: string): Promise<number>
}

interface Held {
  readonly token: string
  /** As far as is known. */
  readonly endsMs: number
  readonly renewAtMs: number
  /** No renewal makes it live longer. */
  readonly isLast: boolean
}

/**
 * Takes a delegation token by Kerberos when the first is asked for, and another when that is refused: HDFS would make one for each file else, and
 * tasks cannot log in themselves. Renews it halfway to its end, and takes a new one in time before what cannot be renewed any more.
 */
export function tokenByKerberos(clerk: TokenClerk, where: string): Login {
  let held: Held | undefined
  let taking: Promise<Held> | undefined
  let trouble: FloeError | undefined
  const take = (): Promise<Held> => {
    taking ??= clerk
      .takeToken()
      .then((token) => {
        held = { token, endsMs: endOf(token) ?? Number.POSITIVE_INFINITY, renewAtMs: 0, isLast: false }
        return held
      })
      .finally(() => {
        taking = undefined
      })
    return taking
  }
  const renew = async ({ token }: Held, nowMs: number): Promise<void> => {
    const endsMs = await clerk.renewToken(token)
    const lastMs = endOf(token) ?? Number.POSITIVE_INFINITY
    held = { token, endsMs, renewAtMs: nowMs + (endsMs - nowMs) / 2, isLast: endsMs >= lastMs }
  }
  return {
    tokens: async (refused) => (held && held.token !== refused ? held : await take()).token,
    async keep(nowMs) {
      if (!held) return null
      if (nowMs >= held.renewAtMs) {
        try {
          // Whatever a renewal fails of, a new one may do.
          if (held.isLast) await renew(await take(), nowMs)
          else await renew(held, nowMs).catch(async () => renew(await take(), nowMs))
          trouble = undefined
        } catch (cause) {
          trouble = cause as FloeError
          held = { ...held, renewAtMs: nowMs + Math.min(AGAIN_MS, Math.max(0, held.endsMs - nowMs) / 10) }
        }
      }
      if (!trouble || held.endsMs - nowMs > DAY_MS) return null
      return `the delegation token of ${where} ${ends(held.endsMs, nowMs)}: ${trouble.message}; ${trouble.hint}`
    },
  }
}

const ends = (atMs: number, nowMs: number): string =>
  `${atMs > nowMs ? 'ends' : 'ended'} at ${new Date(atMs).toISOString().replace('T', ' ').slice(0, 16)} UTC`

/**
 * After which nobody can renew a delegation token, ms since 1970; undefined: it is none. The token is Hadoop's `Writable`, in base64url: the length of
 * the identifier, and that: a zero byte, the texts owner, renewer and real user, the times of issue and end, numbers of token and key.
 */
export function endOf(token: string): number | undefined {
  const bytes = Buffer.from(token, 'base64url')
  let at = 0
  const number = (): number => {
    const first = bytes.readInt8(at++)
    if (first >= -112) return first
    const isNegative = first < -120
    const count = isNegative ? -(first + 120) : -(first + 112)
    const value = Number(bytes.subarray(at, at + count).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n))
    at += count
    return isNegative ? -value - 1 : value
  }
  try {
    number()
    if (bytes.readInt8(at++) !== 0) return undefined
    for (let texts = 0; texts < 3; texts++) {
      const length = number()
      at += length
    }
    const issuedMs = number()
    const endsMs = number()
    return at <= bytes.length && issuedMs > 0 && endsMs >= issuedMs ? endsMs : undefined
  } catch {
    return undefined
  }
}
