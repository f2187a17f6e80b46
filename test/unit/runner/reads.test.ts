import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { isHere } from '../../../jobs/runner/nearness.ts'
import { Reads } from '../../../jobs/runner/reads.ts'

const node = { names: ['dn1.example.org', 'cn001'], addresses: ['10.0.0.1', 'fe80::1'] }

it.each([
  ['dn1.example.org', true],
  ['DN1.Example.org', true],
  ['dn1', true],
  ['cn001', true],
  ['cn001.cluster', true],
  ['10.0.0.1', true],
  ['[fe80::1]', true],
  ['dn1.other.org', false],
  ['dn11', false],
  ['10.0.0.2', false],
  ['10', false],
])('%s is this node: %s', (host, here) => {
  expect(isHere(host, node)).toBe(here)
})

it('counts what was read for each job: here, in the rack, elsewhere', () => {
  const array = mkdtempSync(join(tmpdir(), 'floe-reads-'))
  const nodes = ['/r1/dn1.example.org', '/r1/dn2.example.org', '/r2/dn3.example.org']
  writeFileSync(join(array, 'places'), JSON.stringify({ v: 1, nodes, tasks: [] }))
  const reads = new Reads(array, node)
  reads.add('a', 'dn1.example.org', 1)
  reads.add('a', 'dn2.example.org', 2)
  reads.add('a', 'dn3.example.org', 4)
  reads.add('a', 'dn4.example.org', 8)
  reads.add('a', undefined, 16)
  reads.add('b', 'dn1.example.org', 32)
  expect(reads.take('a')).toEqual({ local: 1, rack: 2, remote: 28 })
  expect(reads.take('a')).toBeUndefined()
  expect(reads.take('b')).toEqual({ local: 32, rack: 0, remote: 0 })
})

it('knows no rack without places, nor on a node that they do not name', () => {
  const bare = new Reads(mkdtempSync(join(tmpdir(), 'floe-reads-')), node)
  bare.add('a', 'dn2.example.org', 1)
  expect(bare.take('a')).toEqual({ local: 0, rack: 0, remote: 1 })
})
