/** One entry of a folder. `mtime` in UTC microseconds since 1970. Links are followed; a link to nothing is `other`. */
export interface FileEntry {
  readonly name: string
  readonly kind: 'file' | 'folder' | 'other'
  readonly sizeBytes: number
  readonly mtime: number
}

/**
 * Files of a campaign or a site: what rooms do on disk, and no more, so that HDFS can stand behind the same door. Paths are absolute.
 * What is absent is an answer (`undefined`, `false`, nothing to remove), never an error; everything else throws a FloeError: DISK_FULL,
 * NOT_WRITABLE, or the error of the system with the path in its message. No reader ever sees half of a `write` or a `create`.
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
  /** A second name for the same content; `false` when `path` is there already. */
  link(existing: string, path: string): Promise<boolean>
  /** Moves within one file system, replacing a file that is there. */
  rename(from: string, to: string): Promise<void>
  /** A file, or a folder with all that is in it. */
  remove(path: string): Promise<void>
  /** Makes sure that files written by others (DuckDB) and their names survive a power cut, and gives them the modes of this campaign. */
  settle(paths: readonly string[]): Promise<void>
}
