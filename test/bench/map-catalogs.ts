import type { Hypergraph } from '../../src/map/hypergraph.ts'
import { seededRandom } from '../../src/map/random.ts'

/** Shapes of catalogs, each told in a line. Inputs weigh 1 to 51 MB in steps of 100 kB; jobs come in no helpful order. */
export const CATALOGS = {
  hubs: '7 inputs read by all and 1 of the rest',
  grid: 'one of 40 rows and one of 50 columns (more when there are more inputs)',
  zipf: 'two inputs, Zipf 1.05',
  uniform: 'two inputs, uniform',
  windows: '12 neighbouring inputs',
  ragged: '1 to 40 inputs, few more often, around a random place',
  tiles: 'a 3 x 3 neighbourhood of a map and one of 50 forcings',
  mixed: '4 neighbouring inputs and two by Zipf 1.05',
} as const

export type CatalogName = keyof typeof CATALOGS

/** Makes a catalog from a seed; the same arguments give the same catalog. */
export function makeCatalog(name: CatalogName, jobs: number, inputs: number, seed: number): Hypergraph {
  const random = seededRandom(seed)
  const below = (count: number): number => Math.floor((random() / 0x1_0000_0000) * count)
  const inputBytes = Float64Array.from({ length: inputs }, () => (10 + below(501)) * 100_000)
  const draw = drawInputs(name, inputs, below)
  const offsets = new Uint32Array(jobs + 1)
  let pins = new Uint32Array(jobs * 8)
  let end = 0
  for (let job = 0; job < jobs; job++) {
    const start = end
    for (const input of draw()) {
      if (pins.subarray(start, end).includes(input)) continue
      if (end === pins.length) {
        const longer = new Uint32Array(pins.length * 2)
        longer.set(pins)
        pins = longer
      }
      pins[end++] = input
    }
    offsets[job + 1] = end
  }
  return { jobs, inputs, offsets, pins: pins.slice(0, end), inputBytes, jobWeight: undefined }
}

function drawInputs(name: CatalogName, inputs: number, below: (count: number) => number): () => number[] {
  const run = (length: number): number[] => {
    const start = below(inputs - length + 1)
    return Array.from({ length }, (_, i) => start + i)
  }
  switch (name) {
    case 'hubs':
      return () => [0, 1, 2, 3, 4, 5, 6, 7 + below(inputs - 7)]
    case 'grid': {
      const scale = Math.sqrt(inputs / 2000)
      const rows = Math.round(40 * scale)
      const columns = Math.round(50 * scale)
      return () => [below(rows), rows + below(columns)]
    }
    case 'zipf': {
      const zipf = drawZipf(inputs, 1.05, below)
      return () => [zipf(), zipf()]
    }
    case 'uniform':
      return () => [below(inputs), below(inputs)]
    case 'windows':
      return () => run(12)
    case 'ragged':
      return () => {
        const share = below(1_000_000) / 1_000_000
        const count = 1 + Math.floor(40 * share * share)
        const place = below(inputs - 59)
        return Array.from({ length: count }, () => place + below(60))
      }
    case 'tiles': {
      const side = Math.floor(Math.sqrt(inputs - 50))
      return () => {
        const corner = below(side - 2) * side + below(side - 2)
        const tiles = [0, 1, 2].flatMap((row) => [0, 1, 2].map((column) => 50 + corner + row * side + column))
        return [...tiles, below(50)]
      }
    }
    case 'mixed': {
      const zipf = drawZipf(inputs, 1.05, below)
      return () => [...run(4), zipf(), zipf()]
    }
  }
}

/** Ranks are spread over the input numbers, so that weight does not follow number. */
function drawZipf(inputs: number, exponent: number, below: (count: number) => number): () => number {
  const sums = new Float64Array(inputs)
  let sum = 0
  for (let rank = 0; rank < inputs; rank++) {
    sum += (rank + 1) ** -exponent
    sums[rank] = sum
  }
  const numberOf = Array.from({ length: inputs }, (_, i) => i)
  for (let i = inputs - 1; i > 0; i--) {
    const j = below(i + 1)
    const other = numberOf[j] as number
    numberOf[j] = numberOf[i] as number
    numberOf[i] = other
  }
  return () => {
    const at = (below(0x1_0000_0000) / 0x1_0000_0000) * sum
    let low = 0
    let high = inputs - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] as number) > at) high = middle
      else low = middle + 1
    }
    return numberOf[low] as number
  }
}
