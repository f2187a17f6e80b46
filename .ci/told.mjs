import { readFileSync } from 'node:fs'

/**
 * Prints of what reporter.mjs told in the file that is argument 2: with `counts`, how many tests passed, failed and were skipped, where a
 * file that cannot be loaded and a run that did not end count as one that failed; with `failures`, each of those and why; with `slow`, how long the
 * slowest files took.
 */
const [what, path] = process.argv.slice(2)
const lines = readFileSync(path, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line))
const tests = new Map()
const files = new Map()
for (const line of lines) {
  if (line.id === undefined) files.set(line.file, line)
  else tests.set(line.id, line)
}
const all = [...files.values(), ...tests.values()]
const isWhole = files.has('the run itself')

if (what === 'counts') {
  const count = (some, state) => some.filter((line) => line.state === state).length
  const passed = count([...tests.values()], 'passed')
  console.log(passed, count(all, 'failed') + (isWhole ? 0 : 1), count([...tests.values()], 'skipped'))
} else if (what === 'failures') {
  for (const { file, name, why } of all.filter((line) => line.state === 'failed')) {
    console.log(`FAIL  ${name === undefined ? file : `${file} > ${name}`}\n${why}`)
  }
  if (!isWhole) {
    console.log('FAIL  it did not end; under way were')
    for (const { file, name } of all.filter((line) => line.state === 'began'))
      console.log(`      ${file} > ${name ?? ''}`)
  }
} else if (what === 'slow') {
  const slowest = [...files.values()].filter((line) => line.ms > 0).sort((one, two) => two.ms - one.ms)
  for (const { file, ms } of slowest.slice(0, 15)) console.log(`      ${Math.round(ms / 1000)} s  ${file}`)
}
