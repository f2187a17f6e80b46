// Bundle and run from the root of the repository: the map benchmark on standard error, its JSON on standard output.
import { benchMap } from './map.ts'

const result = benchMap({}, (line) => process.stderr.write(`${line}\n`))
process.stdout.write(`${JSON.stringify(result)}\n`)
