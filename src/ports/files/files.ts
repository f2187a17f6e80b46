/** One entry of a folder. `mtime` in UTC microseconds since 1970. Links are followed; a link to nothing is `other`. */
export interface FileEntry {
  readonly name: string
  readonly kind: 'file' | 'folder' | 'other'
  readonly sizeBytes: number
  readonly mtime: number
  /** Of the file itself: it stays when that is renamed. 0: not told. */
  readonly id: number
}

/** What more can be written somewhere; null where nobody can tell. In HDFS bytes count with all replicas. */
export interface Room {
  readonly freeBytes: number | null
  readonly freeFiles: number | null
}

/**
 * Files of a campaign or a site: what rooms do on disk or in HDFS, and no more. Paths are absolute. What is absent is an answer (`undefined`,
 * `false`, nothing to remove), never an error; everything else throws a FloeError: DISK_FULL, NOT_WRITABLE, those of HDFS, or the error of the
 * system with the path in its message. No reader ever sees half of a `write`, a `create` or a `publish`. There is no second name for a file:
 * HDFS has none.
 */
export interface Files {
  /** The whole content; `undefined` when absent. */
  read(path: string): Promise<Buffer | undefined>
  /** At most `length` bytes from `offset`; fewer at the end of the file; `undefined` when absent. */
  readRange(path: string, range: { offset: number; length: number }): Promise<Buffer | undefined>
  /** Replaces the file as a whole, durably. */
  write(path: string, content: string | Uint8Array): Promise<void>
  /** Makes the file as a whole, durably; `false` and nothing changed when there is one already. Of several callers one gets `true`. */
  create(path: string, content: string | Uint8Array): Promise<boolean>
  /** As `create`, of a file of this machine's disk, which stays. */
  publish(local: string, path: string): Promise<boolean>
  /** Copies into a new file of this machine's disk; `false` when absent. Throws FILE_BUSY when the file changes meanwhile. */
  fetch(path: string, local: string): Promise<boolean>
  /** Adds to the end, making the file if need be; for one writer. */
  append(path: string, content: string | Uint8Array): Promise<void>
  /** `false` when it was there. Of several callers one gets `true`. The folder above must exist. */
  makeFolder(path: string): Promise<boolean>
  /** With all folders above it. */
  makeFolders(path: string): Promise<void>
  /** All entries of a folder with sizes and times, sorted by name; empty when the folder is absent. One call, never one a file for the caller. */
  list(path: string): Promise<FileEntry[]>
  /** Names only, sorted: cheaper than `list`. */
  names(path: string): Promise<string[]>
  entry(path: string): Promise<FileEntry | undefined>
  /** Moves within one file system, replacing a file that is there. */
  rename(from: string, to: string): Promise<void>
  /** A file, or a folder with all that is in it. */
  remove(path: string): Promise<void>
  /** Tells contents apart. `hashed`: SHA-256 of the bytes, read for it; `checksum`: of the store, made of those that it keeps. */
  digest(path: string): Promise<{ kind: 'hashed' | 'checksum'; digest: string } | undefined>
  /** Below a folder that is there. */
  room(path: string): Promise<Room>
}
