import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

// The limits only end what hangs.
const shared = { pool: 'forks', testTimeout: 300_000, hookTimeout: 300_000 } as const

/** The longest first, so that none is left alone at the end. Where no earlier run is known, size says nothing: simulations are small files. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => LONG.findIndex((part) => moduleId.includes(part)) + 1 || Infinity
    return (await super.sort(files)).sort((a, b) => place(a) - place(b) || 0)
  }
}
const LONG = [
  ...['test/sim/simulate', 'test/cli/sites/bad-nodes', 'test/cli/sites/login', 'test/conformance/run-killed'],
  ...['test/sim/', 'test/cli/sites/', 'test/conformance/'],
]

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      // Most tests of sites wait for something, so that more of them than cores are at work side by side.
      {
        test: {
          ...shared,
          name: 'house',
          maxWorkers: 4,
          include: ['test/**/*.test.ts'],
          exclude: ['test/containers/**'],
        },
      },
      {
        test: {
          ...shared,
          name: 'containers',
          maxWorkers: 2,
          include: ['test/containers/**/*.test.ts'],
          globalSetup: 'test/containers/setup.ts',
          // Its own image cannot be pulled everywhere; owner.ts sweeps instead.
          env: { TESTCONTAINERS_RYUK_DISABLED: 'true' },
          // Real daemons in containers on a busy machine miss a deadline now and then.
          retry: 1,
          // After the others: clusters and a build side by side are slow, and slowness looks like faults.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
