import { defineConfig } from 'vitest/config'

// The limits only end what hangs.
const shared = { pool: 'forks', testTimeout: 300_000, hookTimeout: 300_000 } as const

export default defineConfig({
  test: {
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
