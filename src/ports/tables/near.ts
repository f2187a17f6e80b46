import { join } from 'node:path'
import type { TableName } from '../../model/tables.ts'
import { diskFiles, settleFiles } from '../files/disk.ts'
import type { Files } from '../files/files.ts'

/**
 * The disk that DuckDB reads parts of tables from and writes them to: that of the tables themselves, or one beside which they lie elsewhere. Names
 * are relative to the folder of a table.
 */
export interface Near {
  /** All folders of tables are below it. */
  readonly root: string
  readonly files: Files
  /** Sees to it that these files of a table can be read below `root`, for as long as this session lasts. */
  bring(table: TableName, parts: readonly NearPart[]): Promise<void>
  /** Gives files that DuckDB wrote below `root` to the tables, as a whole and durably, under their own name or another. */
  place(table: TableName, files: readonly { name: string; as?: string }[]): Promise<void>
  /** Takes files away, there and here. */
  drop(table: TableName, names: readonly string[]): Promise<void>
  close(): Promise<void>
}

/** A file that never changes. Its size is what the log says. */
export interface NearPart {
  readonly path: string
  readonly sizeBytes?: number
}

/** Where tables lie on this machine's disk or a shared file system. */
export function diskNear(root: string, { group }: { group: boolean }): Near {
  const files = diskFiles({ group })
  return {
    root,
    files,
    bring: async () => {},
    async place(table, placed) {
      await settleFiles(
        placed.map(({ name }) => join(root, table, name)),
        { group },
      )
      for (const { name, as } of placed) {
        if (as !== undefined) await files.rename(join(root, table, name), join(root, table, as))
      }
    },
    async drop(table, names) {
      for (const name of names) await files.remove(join(root, table, name))
    },
    close: async () => {},
  }
}
