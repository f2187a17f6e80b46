/** A file that is open on one side. Positions are absolute; several calls may be under way. */
export interface OpenFile {
  /** As it was when it was opened. */
  readonly sizeBytes: number
  readonly mtimeSec: number
  /** May give fewer bytes; none: the end. */
  read(position: number, sizeBytes: number): Promise<Buffer>
  write(position: number, bytes: Buffer): Promise<void>
  /** Its size by now. */
  size(): Promise<number>
  chmod(mode: number): Promise<void>
  close(): Promise<void>
}

export interface Renaming {
  readonly from: string
  readonly to: string
}

/** The files of one side of a transfer. Commands of it (`makeFolders`, `digests`) and calls on files are not under way together. Failures are whatever the side throws; `explain` makes words of them. */
export interface Side {
  /** Bytes of one read or write that suit it. */
  readonly chunkBytes: number
  openToRead(path: string): Promise<OpenFile>
  /** Made when absent, with no permissions for others; `isNew`: what was there is cut off. */
  openToWrite(path: string, isNew: boolean): Promise<OpenFile>
  /** Each replaces what is there, at once. What failed, in order; undefined: it went well. */
  rename(pairs: readonly Renaming[]): Promise<unknown[]>
  remove(path: string): Promise<void>
  makeFolders(paths: readonly string[]): Promise<void>
  /** `sha256:…` of each file; undefined: there is none. One command for all. */
  digests(paths: readonly string[]): Promise<(string | undefined)[]>
  /** A ConnectorError that says what was tried, what came back, and what to do. */
  explain(failure: unknown, path: string, verb: string): Promise<Error>
}

/** What a side said of a file, and what to do. */
export type Said = readonly [words: string, hint: string]

export const SAID_OF = {
  missing: ['there is no such file or folder', 'Check the path.'],
  noFolder: ['a part of the path is not a folder', 'Check the path.'],
  noFile: ['it is not a file', 'Name a file.'],
  forbidden: ['permission denied', 'Check owner and permissions.'],
  readOnly: ['the file system is read-only', 'Name another folder.'],
  full: [
    'no space is left on the device',
    'Free some space, or name another folder; what was carried of large files is kept and goes on.',
  ],
  quota: [
    'the disk quota is exceeded',
    'Free some space within the quota; what was carried of large files is kept and goes on.',
  ],
  other: ['it did not say why', 'Try to write there by hand, and ask the people who run the site.'],
} as const satisfies Readonly<Record<string, Said>>
