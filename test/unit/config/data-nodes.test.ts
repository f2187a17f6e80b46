import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openSites } from '../../../src/config/config.ts'

const HDFS = '{ha: {name_nodes: [nn1:9870, nn2:9870]}, lone: {user: alice}}'

it.each([
  ['[]', []],
  ['[namenode:9870]', ['namenode:9870']],
  ['[ha]', ['ha', 'nn1:9870', 'nn2:9870']],
  ['[ha:9870]', ['ha', 'ha:9870', 'nn1:9870', 'nn2:9870']],
  ['[nn2:9870]', ['ha', 'nn1:9870', 'nn2:9870']],
  ['[nn2]', ['ha', 'nn1:9870', 'nn2', 'nn2:9870']],
  ['[nn2:8020]', ['nn2:8020']],
  ['[lone:9870]', ['lone', 'lone:9870']],
])('a site with data_nodes_of: %s means all names of these clusters', (given, names) => {
  const file = join(mkdtempSync(join(tmpdir(), 'floe-sites-')), 'sites.yaml')
  const site = `{connector: slurm, scratch: /s, data_nodes_of: ${given}}`
  writeFileSync(file, `sites: {frost: ${site}}\nhdfs: ${HDFS}\n`, { mode: 0o600 })
  expect(openSites(file)[0]!.dataNodesOf).toEqual(names)
})
