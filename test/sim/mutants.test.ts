import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { expect, test } from 'vitest'
import { MUTANTS, type Mutant } from './mutants.ts'

/*
 * Each rule that is broken on purpose has to be seen by a campaign of the simulation, within so many seeds. The unbroken source goes through the
 * same seeds in simulate.test.ts.
 */
const SEEDS = 60
const root = join(import.meta.dirname, '../..')

/** The simulation with one mutant in it, as one file. */
async function bundled({ what, file, from, to }: Mutant): Promise<string> {
  const path = join(root, file)
  const text = readFileSync(path, 'utf8')
  if (text.split(from).length !== 2) throw new Error(`${file} has not once what is to be broken there: ${from}`)
  const outfile = join(root, 'dist/mutants', `${what.replaceAll(/\W+/g, '-')}.mjs`)
  mkdirSync(join(root, 'dist/mutants'), { recursive: true })
  await build({
    ...{ entryPoints: [join(root, 'test/sim/mutant-main.ts')], bundle: true, platform: 'node', format: 'esm' },
    ...{ packages: 'external', outfile, logLevel: 'error' },
    plugins: [
      {
        name: 'mutant',
        setup: (building) =>
          building.onLoad({ filter: /\.ts$/ }, ({ path: loaded }) =>
            loaded === path ? { contents: text.replace(from, () => to), loader: 'ts' } : undefined,
          ),
      },
    ],
  })
  return outfile
}

test.each(MUTANTS)('$what: is seen', async (mutant) => {
  const said = execFileSync(process.execPath, [await bundled(mutant), String(mutant.seed), String(SEEDS)], {
    encoding: 'utf8',
  })
  expect(said).toMatch(/^caught: seed \d+/)
})
