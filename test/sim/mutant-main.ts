import { Coverage } from './faults.ts'
import { underFaults } from './whole.ts'

/* Lives campaigns from seeds until one goes wrong; prints `caught` and what was wrong, or `survived`. Arguments: the seed
 * that is tried first, and the last of those from 1. */
const [first, last] = process.argv.slice(2).map(Number) as [number, number]
const seeds = [first, ...Array.from({ length: last }, (_, i) => i + 1)]
let caught: string | undefined
for (const seed of seeds)
  if (caught === undefined)
    await underFaults(seed, new Coverage()).catch((error) => {
      caught = (error as Error).message
    })
console.log(caught === undefined ? 'survived' : `caught: ${caught}`)
