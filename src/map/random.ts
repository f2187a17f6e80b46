/**
 * A seeded source of 32-bit numbers (sfc32): the same seed gives the same numbers on every machine.
 * The map phase takes chance from here only.
 */
export function seededRandom(seed: number): () => number {
  let a = 0x9e3779b9 ^ seed
  let b = 0x243f6a88
  let c = 0xb7e15162
  let counter = 1
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return t >>> 0
  }
  for (let i = 0; i < 12; i++) next()
  return next
}

/** The numbers 0 … count − 1 in a seeded order. */
export function shuffled(count: number, random: () => number): Uint32Array {
  const order = new Uint32Array(count)
  for (let i = 0; i < count; i++) {
    const j = Math.floor((random() / 0x1_0000_0000) * (i + 1))
    order[i] = order[j] as number
    order[j] = i
  }
  return order
}

/** Spreads a number over 32 bits; neighbours come out unlike (the finaliser of MurmurHash3). */
export function mix(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
