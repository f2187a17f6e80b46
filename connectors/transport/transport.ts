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
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/**
 * The one place that runs commands of a site and carries its files: on this machine or over SSH. Errors of the way there (no connection,
 * time out, wrong key) are ConnectorErrors of kind `unreachable`; what the command itself says is an Output, whatever its exit.
 */
export interface Transport {
  /** For people: `alice@login.frost`, or `this machine`. */
  readonly where: string
  /** Whether the paths of the site are those of this machine. */
  readonly isHere: boolean
  /**
   * Runs POSIX sh text, fed on stdin of `/bin/sh` whatever the login shell is. What a login prints around it (banners, motd) is not in the
   * Output. With `bytes` stdout comes raw.
   */
  run(script: string, options?: RunOptions): Promise<Output>
  runBytes(
    script: string,
    options?: RunOptions,
  ): Promise<{ readonly exit: number; readonly stdout: Buffer; readonly stderr: string }>
  /**
   * Carries files, several at a time; a transfer that was cut goes on where it stopped. The target appears whole or not at all; folders
   * above it are made.
   */
  send(files: readonly Carried[], options?: RunOptions & { onBytes?: (bytes: number) => void }): Promise<void>
  fetch(files: readonly Carried[], options?: RunOptions & { onBytes?: (bytes: number) => void }): Promise<void>
  close(): Promise<void>
}
