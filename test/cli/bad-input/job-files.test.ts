import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Scene } from '../faults/scene.ts'
import { workbook } from './workbook.ts'

/* Job files with faults: each fault is named with file, line, job, reason and what to do; the good rows of the same file are taken. */

let scene: Scene
beforeAll(async () => {
  scene = await Scene.make()
})
afterAll(() => scene?.end())

/** Line, job, what is wrong, what to do. */
type Fault = readonly [number, string | null, RegExp, RegExp]

interface Added {
  readonly added: number
  readonly rejected: number
  readonly rejects: readonly {
    file: string
    line: number
    job: string | null
    value?: string | null
    reason: string
    hint: string
  }[]
}

const nd = (...lines: (object | string)[]) =>
  lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('')
const good = (id: string) => ({ id, executable: 'true' })
const yes = 'executable: "true"'
const bomb = (indent: string) =>
  [...'bcdefghij'].reduce(
    ({ text, last }, name) => ({
      text: `${text}${indent}${name}: &${name} [${Array(9).fill(`*${last}`).join(', ')}]\n`,
      last: name,
    }),
    { text: `${indent}a: &a [x, x, x, x, x, x, x, x, x]\n`, last: 'a' },
  ).text
const latin1 = (text: string) => Buffer.from(text, 'latin1')

/** File, content, the jobs that are taken, the faults. */
const FILES: readonly (readonly [string, string | Buffer, readonly string[], readonly Fault[]])[] = [
  [
    'executable.ndjson',
    nd({ id: 'e1', output: ['e1'] }, good('e2')),
    ['e2'],
    [[1, 'e1', /^no executable$/, /add `executable:`/]],
  ],
  [
    'duplicate.ndjson',
    nd(good('d1'), good('d2'), good('d1')),
    ['d1', 'd2'],
    [[3, 'd1', /second job of this id; the first is .*duplicate\.ndjson:1/, /another id/]],
  ],
  [
    'duplicate.yaml',
    `y1:\n  ${yes}\ny1:\n  ${yes}\ny2:\n  ${yes}\n`,
    ['y1', 'y2'],
    [[3, 'y1', /second job of this id/, /another id/]],
  ],
  [
    'outputs.ndjson',
    nd(
      { ...good('o1'), output: ['same.csv'] },
      { ...good('o2'), output: ['same.csv'] },
      { ...good('o3'), output: ['tree/'] },
      { ...good('o4'), output: ['./tree'] },
    ),
    ['o1', 'o3'],
    [
      [2, 'o2', /output same\.csv is also written by o1, .*outputs\.ndjson:1/, /output of its own/],
      [4, 'o4', /output tree is also written by o3/, /output of its own/],
    ],
  ],
  [
    'catalog-outputs.ndjson',
    nd({ ...good('c1'), output: ['same.csv'] }),
    [],
    [[1, 'c1', /same\.csv is also written by o1 of the catalog/, /remove that job/]],
  ],
  [
    'nested.ndjson',
    nd(
      { ...good('nest-n1'), output: ['zarr/1982/'] },
      { ...good('nest-n2'), output: ['zarr/1982/u/0'] },
      { ...good('nest-n3'), output: ['zarr/1983', 'zarr/1983x/a'] },
      { ...good('nest-n4'), output: ['zarr/1983/b/c', 'zarr/n4'] },
      { ...good('nest-n5'), output: ['deep/a/b/c'] },
      { ...good('nest-n6'), output: ['deep/a/'] },
      { ...good('nest-n7'), output: ['deep/a/b', 'zarr/n4/x'] },
      { ...good('nest-n8'), output: ['own/', 'own/leaf.csv'] },
      { ...good('nest-n9'), output: ['flat*'] },
      { ...good('nest-n10'), output: ['flat*/x', 'zarr/198'] },
    ),
    ['nest-n1', 'nest-n3', 'nest-n5', 'nest-n8', 'nest-n9', 'nest-n10'],
    [
      [
        2,
        'nest-n2',
        /^output zarr\/1982\/u\/0 lies below output zarr\/1982 of nest-n1, .*nested\.ndjson:1$/,
        /a place of its own/,
      ],
      [4, 'nest-n4', /^output zarr\/1983\/b\/c lies below output zarr\/1983 of nest-n3, /, /a place of its own/],
      [
        6,
        'nest-n6',
        /^output deep\/a stands above output deep\/a\/b\/c of nest-n5, .*nested\.ndjson:5$/,
        /a place of its own/,
      ],
      [7, 'nest-n7', /^output deep\/a\/b stands above output deep\/a\/b\/c of nest-n5, /, /a place of its own/],
    ],
  ],
  [
    'catalog-nested.ndjson',
    nd(
      { ...good('cn1'), output: ['zarr/1982/v'] },
      { ...good('cn2'), output: ['deep/'] },
      { ...good('cn3'), output: ['deeper'] },
      { ...good('nest-n1'), output: ['deep/a'] },
      { ...good('cn4'), output: ['zarr/1982/w'] },
    ),
    ['cn3'],
    [
      [
        1,
        'cn1',
        /^output zarr\/1982\/v lies below output zarr\/1982 of nest-n1 of the catalog/,
        /remove that job first/,
      ],
      [2, 'cn2', /^output deep stands above output deep\/a\/b\/c of nest-n5 of the catalog/, /remove that job/],
      [4, 'nest-n1', /^output deep\/a lies below output deep of cn2, .*:2$/, /a place of its own/],
      [
        5,
        'cn4',
        /^output zarr\/1982\/w lies below output zarr\/1982 of nest-n1 of the catalog/,
        /remove that job first/,
      ],
    ],
  ],
  [
    'outside.ndjson',
    nd(
      ...['../../etc/passwd', '/etc/passwd', 'a/../../b', '..', 'https://example.org/a', 'file:///etc/passwd'].map(
        (path, n) => ({ ...good(`x${n}`), output: [path] }),
      ),
      { ...good('x9'), output: ['a/../inside.csv'] },
    ),
    ['x9'],
    [
      [1, 'x0', /output \.\.\/\.\.\/etc\/passwd leaves the campaign/, /below the campaign's outputs/],
      [2, 'x1', /output \/etc\/passwd leaves the campaign/, /below/],
      [3, 'x2', /leaves the campaign/, /below/],
      [4, 'x3', /leaves the campaign/, /below/],
      [5, 'x4', /leaves the campaign/, /below/],
      [6, 'x5', /leaves the campaign/, /below/],
    ],
  ],
  [
    'keys.ndjson',
    nd(
      { ...good('k1'), ouput: ['x'] },
      { ...good('k2'), data: { inptu: ['x'] } },
      { ...good('k3'), resources: { memroy: '2GB' } },
      { id: 'k4', exectuable: 'true' },
      good('k5'),
    ),
    ['k5'],
    [
      [1, 'k1', /unknown key `ouput`/, /did you mean `output`\?/],
      [2, 'k2', /unknown key `inptu` in `data`/, /did you mean `input`\?/],
      [3, 'k3', /unknown key `memroy` in `resources`/, /did you mean `memory`\?/],
      [4, 'k4', /unknown key `exectuable`/, /did you mean `executable`\?/],
    ],
  ],
  [
    'keys.yaml',
    `ky1:\n  ${yes}\n  data:\n    input: [a]\n    ouput: [b]\nky2:\n  ${yes}\n`,
    ['ky2'],
    [[1, 'ky1', /unknown key `ouput`/, /did you mean `output`\?/]],
  ],
  [
    'values.ndjson',
    nd(
      ...[{ memory: '2 gigs' }, { walltime: 'soon' }, { cpus: -1 }, { nodes: 2 }].map((resources, n) => ({
        ...good(`v${n}`),
        resources,
      })),
      { ...good('v4'), container: 'docker://alpine' },
      { ...good('v5'), after: ['v6'] },
      { ...good('v6'), arguments: ['{input:3}'] },
      { ...good('v7'), executable: ['true'] },
      { ...good('v8'), environment: { 'not a name': 'x' } },
      { ...good('v9'), stdin: 'nothing.txt' },
      { ...good('v10'), input: ['a'], arguments: ['-s', '{input}', '{output}'] },
      { ...good('v11'), input: ['a'], arguments: ['$FLOE_INPUT_1'] },
    ),
    [],
    [
      [1, 'v0', /`memory: 2 gigs` cannot be read/, /512MB or 2GB/],
      [2, 'v1', /`walltime: soon` cannot be read/, /90s, 10m/],
      [3, 'v2', /`cpus: -1` cannot be read/, /whole number/],
      [4, 'v3', /not supported yet: `nodes` over 1/, /take `nodes` out/],
      [5, 'v4', /`container` names no image file/, /apptainer build image\.sif/],
      [6, 'v5', /not supported yet: `after`/, /take `after` out/],
      [7, 'v6', /\{input:3\} names nothing: the job has 0 inputs/, /count from \{input:1\}/],
      [8, 'v7', /`executable` is a list/, /write a text/],
      [9, 'v8', /no shell takes/, /letters, digits and _/],
      [10, 'v9', /`stdin` names nothing\.txt, which is no input/, /one of the inputs/],
      [11, 'v10', /argument \{input\} would reach the program as it is/, /write \{input:1\}/],
      [12, 'v11', /argument \$FLOE_INPUT_1 would reach/, /write \{input:1\}/],
    ],
  ],
  [
    'tabs.yaml',
    `t1:\n  ${yes}\nt2:\n\t${yes}\nt3:\n  ${yes}\n`,
    ['t1', 't3'],
    [[4, 't2', /a tab/, /indent with blanks/]],
  ],
  [
    'indent.yaml',
    `i1:\n  data:\n    input:\n      - x\n   output:\n      - y\n  ${yes}\ni2:\n  ${yes}\n`,
    ['i2'],
    [[5, 'i1', /no YAML/, /correct the line/]],
  ],
  [
    'bomb.yaml',
    `b1:\n  ${yes}\n  labels:\n${bomb('    ')}b2:\n  ${yes}\n`,
    ['b2'],
    [[1, 'b1', /aliases that multiply/, /write the values out/]],
  ],
  [
    'anchors.yaml',
    `n1: &n\n  ${yes}\nn2: *n\n`,
    ['n1'],
    [[3, 'n2', /alias of something in another job/, /templates or the defaults/]],
  ],
  [
    'latin1.yaml',
    latin1(`l1:\n  executable: caf\xe9\nl2:\n  ${yes}\n`),
    ['l2'],
    [[2, null, /not UTF-8/, /iconv -f latin1/]],
  ],
  ['latin1.ndjson', latin1(nd(good('m\xe9'), good('m2'))), ['m2'], [[1, 'm\xe9', /not UTF-8/, /iconv -f latin1/]]],
  ['latin1.csv', latin1('id,executable\np\xe9,true\np2,true\n'), ['p2'], [[2, null, /not UTF-8/, /iconv -f latin1/]]],
  [
    'truncated.ndjson',
    `${nd(good('r1'))}{"id":"r2","executable":"tr`,
    ['r1'],
    [[2, 'r2', /the file ends within this line/, /cut off; write the file again/]],
  ],
  [
    'garbage.ndjson',
    nd('not json', [1, 2] as object, 'null', good('g1')),
    ['g1'],
    [
      [1, null, /no JSON/, /one JSON object/],
      [2, null, /a job is a list/, /write a map/],
      [3, null, /a job is/, /write a map/],
    ],
  ],
  [
    'width.csv',
    'id,executable,output\nw1,true\nw2,true,w2.csv,more\nw3,true,w3.csv\n',
    ['w3'],
    [
      [2, 'w1', /2 cells where the first line names 3/, /a cell for each column/],
      [3, 'w2', /4 cells/, /a cell for each column/],
    ],
  ],
  [
    'quote.csv',
    'id,executable\nq1,true\n"q2,true\nq3,true\n',
    ['q1'],
    [[4, null, /Quote Not Closed/, /double the quotes/]],
  ],
  [
    'control.ndjson',
    nd(good('z\u0000'), good('z\u001b[31m'), good('z1')),
    ['z1'],
    [
      [1, 'z\u0000', /control character/, /take it out/],
      [2, 'z\u001b[31m', /control character/, /take it out/],
    ],
  ],
]

describe('the good rows are taken, each other one is named', () => {
  test.each(FILES)('%s', async (name, content, taken, faults) => {
    const path = scene.write(`jobs/${name}`, content)
    const { exit, stdout, stderr } = await scene.floe('add', path, '--json')
    expect({ exit, stderr }).toEqual({ exit: 3, stderr: '' })
    const report = JSON.parse(stdout) as Added
    expect(report).toMatchObject({ added: taken.length, rejected: faults.length })
    const rejects = readFileSync(scene.path('rejects.ndjson'), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Added['rejects'][number])
      .filter(({ file }) => file === path)
    expect(rejects.map(({ line, job }) => [line, job])).toEqual(faults.map(([line, job]) => [line, job]))
    for (const [at, [, , reason, hint]] of faults.entries()) {
      expect(rejects[at]!.reason).toMatch(reason)
      expect(rejects[at]!.hint).toMatch(hint)
    }
  })

  test('the catalog holds exactly the good ones', async () => {
    const rows = await scene.query<{ job_id: string }>('select job_id from jobs')
    expect(rows.map(({ job_id }) => job_id).sort()).toEqual(FILES.flatMap(([, , taken]) => taken).sort())
  })

  test('a person is told file and line of the first ones, and where the rest is', async () => {
    const { exit, stdout } = await scene.floe('add', scene.path('jobs/values.ndjson'))
    expect(exit).toBe(3)
    expect(stdout).toMatch(/rejected 12 → .*rejects\.ndjson/)
    expect(stdout).toMatch(
      /rejected, first 3 of 12:\n +.*values\.ndjson:1 +v0 +`memory: 2 gigs` cannot be read +write a size/,
    )
  })

  test('corrected and added again, a file has no rejects left, and nobody else lost theirs', async () => {
    scene.write('jobs/executable.ndjson', nd(good('e1'), good('e2')))
    expect((await scene.floe('add', scene.path('jobs/executable.ndjson'))).exit).toBe(0)
    const rejects = scene.read('rejects.ndjson')
    expect(rejects).not.toContain('jobs/executable.ndjson')
    expect(rejects).toContain('jobs/values.ndjson')
  })
})

describe('files that cannot be read as a whole: exit 2, nothing changed', () => {
  test.each([
    ['column.csv', 'id,output\na,b\n', /column\.csv:1: no column `executable`/, /Add `executable`/],
    [
      'unknown.csv',
      'id,executable,ouput\na,true,b\n',
      /unknown\.csv:1: unknown column `ouput`/,
      /did you mean `output`/,
    ],
    ['index.csv', ',id,executable\n0,a,true\n', /index\.csv:1: column 1 has no name/, /index=False/],
    ['twice.csv', 'id,executable,job_id\na,true,b\n', /twice\.csv:1: two columns mean `id`/, /Keep one/],
    [
      'torn.json',
      '{"a": {"executable": "true"}, "b": {"exec',
      /torn\.json:1: .*unfinished/,
      /cut off; write the file again/,
    ],
    ['number.json', '3', /number\.json:1: neither a list nor a map/, /Write \[/],
    ['garbage.parquet', Buffer.alloc(200, 7), /garbage\.parquet cannot be read as Parquet/, /Write the file again/],
    ['garbage.xlsx', Buffer.alloc(200, 7), /garbage\.xlsx cannot be read as a workbook/, /Save it as \.xlsx/],
    ['jobs.txt', 'x', /no job files that end in `\.txt`/, /Job files end in \.ndjson/],
  ])('%s', async (name, content, said, hint) => {
    const path = scene.write(`whole/${name}`, content)
    const { exit, stdout, stderr } = await scene.floe('add', path)
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' })
    expect(stderr).toMatch(said)
    expect(stderr).toMatch(hint)
  })

  test('a file that is not there, with --json: one object on stderr', async () => {
    const { exit, stdout, stderr } = await scene.floe('add', scene.path('absent.yaml'), '--json')
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' })
    expect(JSON.parse(stderr)).toMatchObject({
      code: 'JOB_FILE_INVALID',
      message: expect.stringContaining('absent.yaml'),
    })
  })

  test('of several files one that cannot be read stops all', async () => {
    const ok = scene.write('whole/ok.ndjson', nd(good('whole')))
    expect((await scene.floe('add', ok, scene.path('whole/torn.json'))).exit).toBe(2)
    expect(await scene.query("select count(*) as n from jobs where job_id = 'whole'")).toEqual([{ n: 0 }])
  })
})

describe('large and odd', () => {
  const long = 'x'.repeat(100_000_000)

  test.each([
    ['long.ndjson', () => nd(good('ln1'), { ...good('ln'), arguments: [long] }, good('ln2')), 2],
    ['long.yaml', () => `ly1:\n  ${yes}\nly:\n  arguments: [${long}]\n  ${yes}\nly2:\n  ${yes}\n`, 3],
    ['long.csv', () => `id,executable,arguments\nlc1,true,\nlc,true,${long}\nlc2,true,\n`, 3],
    [
      'long.json',
      () =>
        `[\n${[good('lj1'), { ...good('lj'), arguments: [long] }, good('lj2')].map((job) => JSON.stringify(job)).join(',\n')}\n]`,
      3,
    ],
    [
      'long-map.json',
      () =>
        `{"lm1": ${JSON.stringify({ executable: 'true' })},\n"lm": ${JSON.stringify({ executable: 'true', arguments: [long] })},\n"lm2": {"executable": "true"}}`,
      2,
    ],
  ])('a line of 100 MB in %s: rejected with its line, what stands around it is taken', async (name, content, line) => {
    const path = scene.write(`long/${name}`, content())
    const report = JSON.parse((await scene.floe('add', path, '--json')).stdout) as Added
    expect(report).toMatchObject({ added: 2, rejected: 1 })
    expect(report.rejects[0]).toMatchObject({
      line,
      reason: 'a line of 100 MB',
      hint: expect.stringContaining('16 MB'),
    })
    writeFileSync(path, '')
  })

  test('a job of 15 MB is taken from JSON and NDJSON, whatever is escaped in it', async () => {
    const job = (id: string) =>
      JSON.stringify({ ...good(id), arguments: ['x'.repeat(12_000_000), '\\"7'.repeat(700_000), 8] })
    const path = scene.write('long/large.json', `[${job('lo1')}]`)
    expect(JSON.parse((await scene.floe('add', path, '--json')).stdout)).toMatchObject({ added: 1, rejected: 0 })
    const lines = scene.write('long/large.ndjson', `${job('lo2')}\n{"id":"lo3"}\n`)
    expect(JSON.parse((await scene.floe('add', lines, '--json')).stdout)).toMatchObject({ added: 1, rejected: 1 })
    expect(
      await scene.query(
        "select len(arguments[1]) as l, len(arguments[2]) as m, arguments[3] as n from jobs where job_id in ('lo1', 'lo2')",
      ),
    ).toEqual(Array(2).fill({ l: 12_000_000, m: 2_100_000, n: '8' }))
  })

  test('a CSV as spreadsheets save it where the comma is a decimal sign: columns by `;`, lists in quotes', async () => {
    const rows = ['id;executable;input;labels.n', 'se1;true;"in/a.nc;in/b.nc";1,5', 'se2;true;in/a.nc;in/b.nc;2', '']
    const path = scene.write('semicolon.csv', `\ufeff${rows.join('\r\n')}`)
    const report = JSON.parse((await scene.floe('add', path, '--json')).stdout) as Added
    expect(report).toMatchObject({
      added: 1,
      rejected: 1,
      rejects: [{ line: 3, job: 'se2', reason: expect.stringContaining('5 cells') }],
    })
    expect(await scene.query("select len(inputs) as inputs, labels['n'] as n from jobs where job_id = 'se1'")).toEqual([
      { inputs: 2, n: '1,5' },
    ])
    const wrong = await scene.floe('add', scene.write('wrong.csv', 'id;executable;ouput\na;true;b\n'))
    expect(wrong.exit).toBe(2)
    expect(wrong.stderr).toMatch(/wrong\.csv:1: unknown column `ouput`(.|\n)*did you mean `output`/)
    const absent = await scene.floe('add', scene.path('absent.csv'))
    expect(absent).toMatchObject({ exit: 2, stderr: expect.stringMatching(/absent\.csv is not there/) })
    const tabs = scene.write('tabs.csv', '"id"\t"executable"\nse3\ttrue\n')
    expect(JSON.parse((await scene.floe('add', tabs, '--json')).stdout)).toMatchObject({ added: 1, rejected: 0 })
  })

  test('a workbook: a formula is its saved value, a date is ISO text, a number is what was typed', async () => {
    const path = scene.write(
      'x.xlsx',
      workbook([
        ['id', 'executable', 'arguments', 'labels.day', 'memory'],
        ['xl1', 'true', { formula: '"a"&"b"', value: 'ab' }, { date: '1982-01-31' }, '2GB'],
        [{ formula: '3+4', value: 7 }, 'true', 1.5, { date: '1982-01-31T06:00' }, 2_000_000],
        ['xl3', '', '', '', ''],
      ]),
    )
    const report = JSON.parse((await scene.floe('add', path, '--json')).stdout) as Added
    expect(report).toMatchObject({ added: 2, rejected: 1, rejects: [{ line: 4, job: 'xl3', reason: 'no executable' }] })
    expect(
      await scene.query(
        "select job_id, arguments[1] as argument, labels['day'] as day, resources.memory_bytes as memory from jobs where source like '%xlsx%' order by job_id desc",
      ),
    ).toEqual([
      { job_id: 'xl1', argument: 'ab', day: '1982-01-31', memory: 2e9 },
      { job_id: '7', argument: '1.5', day: '1982-01-31T06:00:00Z', memory: 2_000_000 },
    ])
  })

  test('a workbook as a script writes it: a formula without its value is named, not taken for an empty cell', async () => {
    const rows = [
      ['id', 'executable', 'arguments', 'labels.n'],
      ['xf1', 'true', 'a', 1],
      ['xf2', 'true', { formula: '"a"&B2', value: null }, { formula: 'D2+1', value: null }],
      [{ formula: '"x"&1', value: null }],
      ['xf4', 'true', { formula: '""', value: '' }, { formula: 'D2-1', value: 0 }],
      [],
      ['', '', '', { formula: 'SUM(D2:D5)', value: null }],
    ] as const
    const told = async (name: string, content: Buffer) =>
      JSON.parse((await scene.floe('add', scene.write(name, content), '--json')).stdout) as Added
    const report = await told('formulas.xlsx', workbook(rows))
    expect(report).toMatchObject({ added: 2, rejected: 3 })
    expect(report.rejects).toMatchObject([
      {
        line: 3,
        job: 'xf2',
        value: '="a"&B2',
        reason: expect.stringMatching(/^cell C3 holds a formula .* without its value/),
      },
      { line: 4, job: null, reason: expect.stringContaining('cell A4') },
      {
        line: 7,
        job: null,
        reason: expect.stringContaining('cell D7'),
        hint: expect.stringContaining('spreadsheet program'),
      },
    ])
    const stale = await told(
      'stale.xlsx',
      workbook([rows[0], ['xs1', 'true', { formula: '1-1', value: 0 }], rows[4]], { stale: true }),
    )
    expect(stale.rejects).toMatchObject([
      { line: 2, job: 'xs1' },
      { line: 3, job: 'xf4', reason: expect.stringContaining('C3') },
    ])
    const { exit, stderr } = await scene.floe(
      'add',
      scene.write('head.xlsx', workbook([['id', { formula: 'A9', value: null }]])),
    )
    expect(exit).toBe(2)
    expect(stderr).toMatch(/head\.xlsx:1: cell B1 holds a formula/)
  })

  test('an output through a link that stands in outputs/', async () => {
    symlinkSync(mkdtempSync(join(scene.root, 'outside-')), scene.path('outputs', 'door'))
    const path = scene.write(
      'jobs/door.ndjson',
      nd({ ...good('door'), output: ['door/key'] }, { ...good('house'), output: ['house/key'] }),
    )
    const report = JSON.parse((await scene.floe('add', path, '--json')).stdout) as Added
    expect(report).toMatchObject({ added: 1, rejected: 1 })
    expect(report.rejects[0]).toMatchObject({ line: 1, job: 'door', reason: expect.stringMatching(/leaves .* link/) })
  })
})
