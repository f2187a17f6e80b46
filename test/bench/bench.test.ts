import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Figure, judge, render, toJson } from './figures.ts'

const root = join(import.meta.dirname, '..', '..')
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'floe-bench-test-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function bench(...line: string[]) {
  return spawnSync(process.execPath, [join(root, 'test/bench/bench.mjs'), ...line], {
    encoding: 'utf8',
    timeout: 120_000,
  })
}

it('measures small campaigns and their baselines, prints a table and writes JSON', { timeout: 120_000 }, () => {
  const json = join(folder, 'bench.json')
  const { status, stdout, stderr } = bench('--quick', '--only', 'runs', '--json', json, '--scratch', folder)
  expect(stderr + stdout).not.toContain('Error')
  expect(status).toBe(0)
  const { machine, figures } = JSON.parse(readFileSync(json, 'utf8'))
  expect(machine).toMatchObject({
    cores: expect.any(Number),
    memory_bytes: expect.any(Number),
    node: process.versions.node,
  })
  expect(figures).toHaveLength(4)
  for (const figure of figures) {
    expect(figure.ours, figure.work).toBeGreaterThan(0)
    expect(figure.baseline, figure.work).toBeGreaterThan(0)
    expect(figure.ratio, figure.work).toBeGreaterThan(0)
    expect(stdout).toContain(figure.work)
  }
})

it('names the benchmarks when one is unknown', () => {
  const { status, stderr } = bench('--only', 'speed')
  expect(status).toBe(2)
  expect(stderr).toContain('There is no benchmark speed')
  expect(stderr).toContain('runs, look, recovery, memory, add, plan, map')
})

const figure: Figure = {
  work: 'w',
  unit: 's',
  ours: [2, 30, 4],
  baseline: [1, 10, 1],
  baselineName: 'b',
  must: { of: 'ratio', most: 3 },
}

it('judges by the median of the ratios of the turns', () => {
  expect(judge(figure)).toEqual({ ours: 4, baseline: 1, ratio: 3, reached: true })
  expect(judge({ ...figure, must: { of: 'ratio', most: 2.9 } }).reached).toBe(false)
  expect(judge({ ...figure, must: { of: 'ratio', least: 3.1 } }).reached).toBe(false)
  expect(judge({ ...figure, must: { of: 'value', most: 4 } }).reached).toBe(true)
  expect(judge({ ...figure, baseline: [] })).toMatchObject({ ratio: null, baseline: null, reached: false })
})

it('says what could not be measured', () => {
  expect(render({ work: 'w', why: 'no Python' })).toMatch(/not measured {2}no Python$/)
  expect(toJson({ work: 'w', why: 'no Python' })).toEqual({ work: 'w', reached: null, why: 'no Python' })
})
