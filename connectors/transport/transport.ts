/** What a command gave back. Text is decoded as UTF-8, with what is none replaced. */
export interface Output {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

/** A file to carry. Paths are absolute, each on its own side. */
export interface Carried {
  readonly here: string
  readonly there: string
  /** `sha256:…` of the content, checked after it was carried; absent: the size is checked. */
  readonly digest?: string
  /** Octal permissions at the target; 0o600 by default. */
  readonly mode?: number
}

export interface RunOptions {
  /** Absent: no limit. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface CarryOptions extends RunOptions {
  /** Bytes that were carried since the last call. */
  readonly onBytes?: (bytes: number) => void
}

/** What a way to a site is like. */
export interface Survey {
  /** How it let us in, e.g. `key ed25519`. */
  readonly login: string
  /** Sessions that it let us have open at once; `isMore`: it refused none, and may let us have more. */
  readonly sessions: number
  readonly isMore: boolean
  /** Sessions that this transport uses. */
  readonly used: number
  /** What a login prints around the answers of commands. */
  readonly noise: string
}

/** More is refused: an answer is held in memory. */
export const OUTPUT_MAX_BYTES = 256 * 2 ** 20

/**
 * The one place that runs commands of a site and carries its files: on this machine or over SSH. What the command itself says is an Output,
 * whatever its exit. Everything else rejects with a ConnectorError: `unreachable`, the same may be asked again later (no connection, cut,
 * time out); `refused`, a person has to do something first (host key, login, permissions, no space); `unreadable`, what came back is not what
 * was asked for (too much output, wrong digest). An abort rejects with the signal's reason. Nothing is tried twice in here: a command whose
 * connection was cut may have run.
 */
export interface Transport {
  /** For people: `alice@login.frost`, or `this machine`. */
  readonly where: string
  /** Whether the paths of the site are those of this machine. */
  readonly isHere: boolean
  /**
   * Runs POSIX sh text, fed on stdin of `/bin/sh` whatever the login shell is, in the home folder, with an empty stdin. What a login prints
   * around it (banners, motd) is not in the Output. It resolves when the script has ended, also when children in the background go on; their
   * later output is lost. A time-out or an abort ends its processes where the site lets it.
   */
  run(script: string, options?: RunOptions): Promise<Output>
  /** The same, with stdout as bytes. */
  runBytes(
    script: string,
    options?: RunOptions,
  ): Promise<{ readonly exit: number; readonly stdout: Buffer; readonly stderr: string }>
  /**
   * Carries files, several at a time; a transfer that was cut goes on where it stopped when it is asked for again, and what is there with its
   * digest is not carried again. The target appears whole or not at all, and replaces what was there; folders above it are made. After a
   * failure other files may have been carried. Not forced to the disk of the other side.
   */
  send(files: readonly Carried[], options?: CarryOptions): Promise<void>
  fetch(files: readonly Carried[], options?: CarryOptions): Promise<void>
  /** Looks what the way is like, with up to `most` sessions at once; absent where there is none. To be called while nothing else is under way. */
  survey?(most: number, options?: RunOptions): Promise<Survey>
  /** Ends what is under way. */
  close(): Promise<void>
}
