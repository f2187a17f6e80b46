import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  compileConfig,
  configMarkdown,
  configTemplate,
  jsonSchema,
  sitesJsonSchema,
} from '../../../src/config/config.ts'
import { FloeError } from '../../../src/model/errors.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const compile = (text: string) => compileConfig(text, { path: 'floe.yaml', directory: '/c/winds' })
const refusal = (text: string): string => {
  try {
    compile(text)
  } catch (error) {
    if (error instanceof FloeError && error.code === 'CONFIG_INVALID') return error.message
    throw error
  }
  throw new Error('this configuration was accepted')
}

describe('floe.yaml', () => {
  test('says nothing and means the defaults', () => {
    expect(compile('')).toMatchInlineSnapshot(`
      {
        "batch": {
          "bytes": null,
          "jobs": null,
          "seconds": 600,
        },
        "digest": "auto",
        "group": false,
        "jobs": {
          "cache": true,
          "check": null,
          "environment": {},
          "labels": {},
          "priority": 0,
          "publish": "files",
          "resources": {
            "cpus": 1,
            "gpus": 0,
            "memoryBytes": null,
            "nodes": 1,
            "walltimeSec": null,
          },
          "setup": null,
        },
        "memoryBytes": 1500000000,
        "name": "winds",
        "outputs": "/c/winds/outputs",
        "outputsUrl": null,
        "policy": {
          "app": {
            "action": "give up",
            "cap": null,
            "exhausted": "give up",
            "factor": 1,
            "tries": 1,
            "waitSec": 0,
          },
          "cancelled": {
            "action": "give up",
            "cap": null,
            "exhausted": "give up",
            "factor": 1,
            "tries": 1,
            "waitSec": 0,
          },
          "check": {
            "action": "give up",
            "cap": null,
            "exhausted": "give up",
            "factor": 1,
            "tries": 1,
            "waitSec": 0,
          },
          "input": {
            "action": "hold",
            "cap": null,
            "exhausted": "hold",
            "factor": 1,
            "tries": 1,
            "waitSec": 0,
          },
          "launch": {
            "action": "give up",
            "cap": null,
            "exhausted": "give up",
            "factor": 1,
            "tries": 1,
            "waitSec": 0,
          },
          "lost": {
            "action": "retry",
            "cap": null,
            "exhausted": "give up",
            "factor": 1,
            "tries": 3,
            "waitSec": 0,
          },
          "memory": {
            "action": "memory",
            "cap": null,
            "exhausted": "give up",
            "factor": 2,
            "tries": 3,
            "waitSec": 0,
          },
          "node": {
            "action": "elsewhere",
            "cap": null,
            "exhausted": "give up",
            "factor": 1,
            "tries": 5,
            "waitSec": 0,
          },
          "preempted": {
            "action": "retry",
            "cap": null,
            "exhausted": "give up",
            "factor": 1,
            "tries": 10,
            "waitSec": 0,
          },
          "purged": {
            "action": "retry",
            "cap": null,
            "exhausted": "give up",
            "factor": 1,
            "tries": 5,
            "waitSec": 0,
          },
          "staging": {
            "action": "retry",
            "cap": null,
            "exhausted": "give up",
            "factor": 1,
            "tries": 3,
            "waitSec": 10,
          },
          "walltime": {
            "action": "walltime",
            "cap": null,
            "exhausted": "give up",
            "factor": 2,
            "tries": 2,
            "waitSec": 0,
          },
        },
        "reuse": [],
        "roots": {},
        "sandboxesMax": 20,
        "scouts": {
          "from": 10000,
          "jobs": 8,
          "waitSec": 300,
        },
        "site": "local",
        "slots": null,
        "stopWhenFailed": 0.25,
        "threads": null,
      }
    `)
    expect(compile('# only a comment\n')).toEqual(compile('{}'))
  })

  test('resolves units and paths, and keeps what was not said', () => {
    const config = compile(`
name: Arctic
slots: 2
jobs:
  resources: {cpus: 2, memory: 1.5GiB, walltime: 1h30m}
  environment: {LANG: C, YEAR: 1982}
batch: {jobs: 200}
policy: {memory: {tries: 5, cap: 64GB}, app: {tries: 2}, walltime: {action: split}, staging: {wait: 1m}}
reuse: [../earlier, /data/other]
roots: {era5: /data/era5, here: input}
outputs: /big/out
memory: 4GB
`)
    expect(config).toMatchObject({
      name: 'Arctic',
      slots: 2,
      jobs: {
        resources: { cpus: 2, memoryBytes: 1.5 * 2 ** 30, walltimeSec: 5400, gpus: 0, nodes: 1 },
        environment: { LANG: 'C', YEAR: '1982' },
        publish: 'files',
      },
      batch: { jobs: 200, seconds: 600 },
      reuse: ['/c/earlier', '/data/other'],
      roots: { era5: '/data/era5', here: '/c/winds/input' },
      outputs: '/big/out',
      memoryBytes: 4e9,
    })
    const { memory, app, walltime, staging } = config.policy
    expect(memory).toEqual({ action: 'memory', tries: 5, factor: 2, cap: 64e9, waitSec: 0, exhausted: 'give up' })
    expect(app).toMatchObject({ action: 'retry', tries: 2, factor: 1 })
    expect(walltime).toMatchObject({ action: 'split', tries: 2, factor: 1 })
    expect(staging).toMatchObject({ action: 'retry', tries: 3, waitSec: 60 })
  })

  test('has outputs in a directory or in HDFS', () => {
    const of = (outputs: string) => compile(`outputs: ${outputs}`)
    expect(of('out')).toMatchObject({ outputs: '/c/winds/out', outputsUrl: null })
    expect(of('webhdfs://nn:9870/o/winds/')).toMatchObject({
      outputs: '/c/winds/outputs',
      outputsUrl: 'webhdfs://nn:9870/o/winds',
    })
    for (const wrong of ['https://example.org/o', 'webhdfs://nn', 'webhdfs://nn/'])
      expect(refusal(`outputs: ${wrong}`)).toContain('outputs must be a directory, or an address in HDFS')
  })

  test('is frozen', () => {
    const config = compile('') as { jobs: { labels: Record<string, string> } }
    expect(() => {
      config.jobs.labels.a = 'b'
    }).toThrow(TypeError)
  })
})

describe('a wrong floe.yaml', () => {
  test('is told every fault with its line', () => {
    expect(
      refusal('name: a\nslot: 4\njobs:\n  resources:\n    memmory: 2GB\n    walltime: soon\nstop_when_failed: 3\n'),
    ).toMatchInlineSnapshot(`
      "floe.yaml:6: jobs.resources.walltime must be a duration such as 90s, 10m, 1h30m or 2-12:00:00
      floe.yaml:5: unknown key \`jobs.resources.memmory\`; did you mean \`memory\`?
      floe.yaml:7: stop_when_failed must be 1 or less
      floe.yaml:2: unknown key \`slot\`; did you mean \`slots\`?"
    `)
  })
  test('is told what a key without a likeness may be', () => {
    expect(refusal('batch:\n  zebra: 1\n')).toMatchInlineSnapshot(
      `"floe.yaml:2: unknown key \`batch.zebra\`; known here: jobs, seconds, bytes"`,
    )
  })
  test.each([
    ['slots: many'],
    ['slots: 0'],
    ['slots: 1.5'],
    ['digest: md5'],
    ['group: perhaps'],
    ['reuse: ../a'],
    ['jobs: 3'],
    ['jobs:\n  resources: {memory: [1]}'],
    ['roots: {e: /x}'],
    ['roots: {"": /x}'],
    ['name: ""'],
    ['just text'],
    ['- a\n- b'],
    ['memory: lots'],
    ['outputs: s3://bucket/out'],
  ])('%s', (text) => {
    expect(refusal(text)).toMatchSnapshot()
  })
  test.each([
    ['policy: {app: {action: retry}}'],
    ['policy: {app: {action: give up, tries: 3}}'],
    ['policy: {memory: {action: memory, tries: 1}}'],
    ['policy: {memory: {tries: .inf}}'],
    ['policy: {memory: {tries: 0}}'],
    ['policy: {memory: {action: split}}'],
    ['policy: {memory: {factor: 1}}'],
    ['policy: {memory: {cap: 12h}}'],
    ['policy: {walltime: {action: memory, cap: 2d}}'],
    ['policy: {walltime: {action: split, factor: 3}}'],
    ['policy: {node: {cap: 4GB}}'],
    ['policy: {staging: {wait: soon}}'],
    ['policy: {app: {action: hold, exhausted: give up}}'],
    ['policy: {cancelled: {tries: 2}}'],
    ['policy: {memory: {action: more}}'],
    ['jobs:\n  resources: {memory: 8GB}\npolicy:\n  memory:\n    cap: 4GB'],
  ])('a policy that contradicts: %s', (text) => {
    expect(refusal(text)).toMatchSnapshot()
  })
  test.each([['a: [1'], ['\tname: x'], ['name: a\nname: b'], ['a: *nowhere'], ['a: b: c']])('YAML: %s', (text) => {
    expect(refusal(text)).toMatchSnapshot()
  })
  test('that expands aliases without end is refused', () => {
    const bomb = [
      'a0: &a0 [x,x,x,x,x,x,x,x,x]',
      ...[1, 2, 3, 4, 5, 6, 7].map(
        (n) =>
          `a${n}: &a${n} [${Array(9)
            .fill(`*a${n - 1}`)
            .join(',')}]`,
      ),
    ]
    expect(refusal(bomb.join('\n'))).toContain('Excessive alias count')
  })
})

describe('made from the schema', () => {
  // `npx vitest run test/unit/config -u` writes these files.
  test('data/schemas/floe.schema.json', async () => {
    await expect(jsonSchema()).toMatchFileSnapshot(join(root, 'data', 'schemas', 'floe.schema.json'))
  })
  test('data/schemas/sites.schema.json', async () => {
    await expect(sitesJsonSchema()).toMatchFileSnapshot(join(root, 'data', 'schemas', 'sites.schema.json'))
  })
  test('docs/config.md', async () => {
    await expect(configMarkdown()).toMatchFileSnapshot(join(root, 'docs', 'config.md'))
  })
  test('the floe.yaml of init is valid, also with all its comments taken away', () => {
    const template = configTemplate('say "hi"')
    expect(compile(template).name).toBe('say "hi"')
    const bare = template
      .split('\n')
      .slice(2)
      .map((line) => line.replace(/^# /, ''))
      .join('\n')
    expect(compile(bare)).toMatchObject({ slots: 4, roots: { era5: '/data/era5' }, stopWhenFailed: 0.25 })
  })
})
