import { defineConfig } from 'vitest/config'

const shared = { pool: 'forks', testTimeout: 60_000, hookTimeout: 60_000 } as const

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { test: { ...shared, name: 'house', include: ['test/**/*.test.ts'], exclude: ['test/containers/**'] } },
      {
        test: {
          ...shared,
          name: 'containers',
          include: ['test/containers/**/*.test.ts'],
          globalSetup: 'test/containers/setup.ts',
          // Its own image cannot be pulled everywhere; owner.ts sweeps instead.
          env: { TESTCONTAINERS_RYUK_DISABLED: 'true' },
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // After the others: clusters and a build side by side are slow, and slowness looks like faults.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
