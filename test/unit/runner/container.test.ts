import { expect, test } from 'vitest'
import { containerArguments, imageEnvironment } from '../../../jobs/runner/container.ts'
import type { ManifestJob } from '../../../src/model/manifest.ts'

const input = (path: string) => ({ name: 'x', path, size_bytes: null, mtime: null })
const job = (paths: readonly string[]): ManifestJob => ({
  ...{ job: 'j', revision: 1, job_digest: '', try: 1, program: 'cdo', arguments: ['-s', 'x'] },
  ...{ inputs: paths.map(input), outputs: [] },
})
const place = { container: { program: 'apptainer', image: '/cache/i' }, root: '/node/t', cache: '/cache', gpus: 0 }

test('binds the cache, folders of inputs once and read-only, and the directory of the job alone to be written', () => {
  const given = job(['/gpfs/era5/a', '/gpfs/era5/b', '/gpfs/tree/', '/cache/0123'])
  expect(containerArguments(given, '/node/t/7', place)).toEqual([
    'exec',
    ...['--bind', '/cache:/cache:ro', '--bind', '/gpfs/era5:/gpfs/era5:ro', '--bind', '/gpfs/tree:/gpfs/tree:ro'],
    ...['--bind', '/node/t/7:/node/t/7', '--pwd', '/node/t/7', '/cache/i', 'cdo', '-s', 'x'],
  ])
  expect(containerArguments(job([]), '/node/t/7', { ...place, cache: undefined, gpus: 2 })).toEqual([
    ...['exec', '--bind', '/node/t/7:/node/t/7', '--pwd', '/node/t/7', '--nv', '/cache/i', 'cdo', '-s', 'x'],
  ])
})

test.each(['/gpfs/a,b/c', '/gpfs/a:b/c'])('%s cannot be told to it', (path) => {
  expect(containerArguments(job([path]), '/node/t/7', place)).toEqual({
    problem: expect.stringContaining('it has a colon or a comma in its name'),
  })
})

test('tells variables that an image sets by itself under the names that it heeds', () => {
  expect(imageEnvironment({ GREETING: 'a' })).toEqual({ GREETING: 'a' })
  expect(imageEnvironment({ PATH: '/opt/conda/bin:/bin' })).toEqual({
    ...{ PATH: '/opt/conda/bin:/bin', APPTAINERENV_PATH: '/opt/conda/bin:/bin' },
    SINGULARITYENV_PATH: '/opt/conda/bin:/bin',
  })
})
