import { decompress } from 'fzstd'

/** What hyparquet needs to read the parts of floe: it has no zstd of its own, and Node has none before 22.15. */
export const compressors = {
  ZSTD: (input: Uint8Array, length: number): Uint8Array => decompress(input, new Uint8Array(length)),
}
