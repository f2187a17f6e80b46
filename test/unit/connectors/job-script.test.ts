import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { jobScript } from '../../../connectors/job-script.ts'

/** What a task hands to the runner as the place for its jobs, on a node whose /tmp has so much room. */
function placeOn(roomKb: number | null, env: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'floe-script-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const bin = join(directory, 'bin')
  mkdirSync(bin)
  const says = roomKb === null ? 'exit 1' : `echo Filesystem; echo "none 9 9 ${roomKb} 9% /tmp"`
  writeFileSync(join(bin, 'df'), `#!/bin/sh\n[ "$*" = '-Pk /tmp' ] || exit 1\n${says}\n`)
  chmodSync(join(bin, 'df'), 0o755)
  const command = ['/bin/sh', '-c', 'echo "$FLOE_TMPDIR,$TMPDIR" >place']
  const array = {
    ...{ name: 'a', directory, count: 1, command, cpus: 1, memoryBytes: null, walltimeSec: null, gpus: 0 },
    ...{ queue: null, account: null },
  }
  const script = jobScript(array, { task: { id: '7', index: '0' } }, 'nonce')
  const { status, stderr } = spawnSync('/bin/sh', ['-s'], {
    ...{ input: script, env: { PATH: `${bin}:/usr/bin:/bin`, ...env }, encoding: 'utf8' as const },
  })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  return spawnSync('cat', [join(directory, 'place')], { encoding: 'utf8' }).stdout.trim()
}

test('jobs run in /tmp of the node where nothing else is said and it has room, else on scratch', () => {
  expect(placeOn(5_000_000, {})).toBe('/tmp,')
  expect(placeOn(5_000_000_000_000, {})).toBe('/tmp,')
  expect(placeOn(500_000, {})).toBe(',')
  expect(placeOn(null, {})).toBe(',')
})

test('TMPDIR and FLOE_TMPDIR of the node come first', () => {
  expect(placeOn(5_000_000, { TMPDIR: '/local/7' })).toBe(',/local/7')
  expect(placeOn(5_000_000, { FLOE_TMPDIR: '/nvme' })).toBe('/nvme,')
})
