import { createHash } from 'node:crypto'

/** A number from 0 to 1 that hangs on the words alone. */
export const chance = (...words: readonly (string | number)[]): number =>
  createHash('sha256').update(JSON.stringify(words)).digest().readUIntBE(0, 6) / 2 ** 48
