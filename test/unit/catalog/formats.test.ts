import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import writeXlsxFile from 'write-excel-file/node'
import { addJobFiles } from '../../../src/catalog/add.ts'
import { systemClock } from '../../../src/ports/clock.ts'
import { openTables, type Tables } from '../../../src/ports/tables/tables.ts'

const opened: Tables[] = []
afterAll(() => Promise.all(opened.map((tables) => tables.close())))

async function campaign() {
  const root = mkdtempSync(join(tmpdir(), 'floe-formats-'))
  const tables = await openTables({ root, cache: join(root, '.floe'), clock: systemClock })
  opened.push(tables)
  const write = (name: string, text: string | Buffer) => {
    writeFileSync(join(root, name), text)
    return join(root, name)
  }
  const add = (path: string) =>
    addJobFiles(tables, [path], {
      campaign: root,
      outputs: join(root, 'outputs'),
      cache: join(root, '.floe'),
      clock: systemClock,
    })
  const jobs = async () => {
    await tables.view('jobs', undefined, 'rows')
    return tables.sql.rows<{
      job_id: string
      spec_digest: string
      labels: Record<string, string> | null
      source: string
    }>('select job_id, spec_digest, labels, source from rows order by job_id')
  }
  return { root, write, add, jobs }
}

const yaml = `job one:
  data: {input: [in/a.csv, in/b.csv], output: [out/1.csv]}
  executable: ./prg.sh
  arguments: [--month, "{label:month}", "{input:1}"]
  environment: {LANG: C}
  resources: {cpus: 2, memory: 2GB, walltime: 10m}
  labels: {month: "01"}
`
const job = {
  id: 'job one',
  data: { input: ['in/a.csv', 'in/b.csv'], output: ['out/1.csv'] },
  executable: './prg.sh',
  arguments: ['--month', '{label:month}', '{input:1}'],
  environment: { LANG: 'C' },
  resources: { cpus: 2, memory: '2GB', walltime: '10m' },
  labels: { month: '01' },
}
const headings = [
  'id',
  'input',
  'output',
  'executable',
  'arguments',
  'environment',
  'cpus',
  'memory',
  'walltime',
  'labels.month',
]
const cells = [
  'job one',
  'in/a.csv;in/b.csv',
  'out/1.csv',
  './prg.sh',
  '--month;{label:month};{input:1}',
  'LANG=C',
  '2',
  '2GB',
  '10m',
  '01',
]

async function parquetFile(path: string): Promise<void> {
  // @ts-expect-error parquetjs-lite has no types
  const { ParquetSchema, ParquetWriter } = (await import('parquetjs-lite')).default
  const list = { type: 'UTF8', repeated: true }
  const schema = new ParquetSchema({
    ...{
      id: { type: 'UTF8' },
      input: list,
      output: list,
      executable: { type: 'UTF8' },
      arguments: list,
      environment: { type: 'UTF8' },
    },
    ...{ cpus: { type: 'INT64' }, memory: { type: 'UTF8' }, walltime: { type: 'UTF8' } },
    labels: { fields: { month: { type: 'UTF8', optional: true } }, optional: true },
  })
  const writer = await ParquetWriter.openFile(schema, path)
  await writer.appendRow({ ...job, ...job.data, environment: 'LANG=C', cpus: 2, memory: '2GB', walltime: '10m' })
  await writer.close()
}

async function xlsxFile(path: string): Promise<void> {
  const rows = [headings, cells].map((row) => row.map((value) => ({ value, type: String })))
  const written = await writeXlsxFile(rows)
  await written.toFile(path)
}

test('the same job says the same in every format', async () => {
  const { root, write, add, jobs } = await campaign()
  expect(await add(write('a.yaml', yaml))).toMatchObject({ added: 1, rejected: 0 })
  const [first] = await jobs()
  const quoted = cells.map((cell) => (/[,"]/.test(cell) ? `"${cell}"` : cell))
  const same = [
    write('b.json', JSON.stringify([job])),
    write('c.json', JSON.stringify({ 'job one': { ...job, id: undefined } }, null, 2)),
    write('d.ndjson', `${JSON.stringify(job)}\n`),
    write('e.csv', `${headings.join(',')}\n${quoted.join(',')}\n`),
    write('f.tsv', `${headings.join('\t')}\r\n${cells.join('\t')}\r\n`),
    write('g.yml', yaml.replace('./prg.sh', '"./prg.sh" # with a comment, which the full parser reads')),
    join(root, 'h.parquet'),
    join(root, 'i.xlsx'),
  ]
  await parquetFile(join(root, 'h.parquet'))
  await xlsxFile(join(root, 'i.xlsx'))
  for (const path of same) {
    expect(await add(path), path).toMatchObject({ added: 0, replaced: 0, unchanged: 1, rejected: 0 })
    expect((await jobs())[0]?.spec_digest, path).toBe(first?.spec_digest)
  }
})

describe('YAML', () => {
  test('rejects what is wrong in one job with its line, and keeps the others', async () => {
    const { root, write, add, jobs } = await campaign()
    const bomb = [
      'bomb:',
      '  executable: x',
      '  labels: &a {a: 1}',
      ...Array.from({ length: 3 }, (_, i) => `  k${i}: *a`),
    ]
    const report = await add(
      write(
        'a.yaml',
        Buffer.concat([
          Buffer.from(
            '---\ngood:\n  executable: x\ntabs:\n\texecutable: x\nmissing:\n  data: {input: [a]}\nlate: *anchor\n',
          ),
          Buffer.from('latin:\n  executable: caf\xe9\n', 'latin1'),
          Buffer.from(`twice:\n  executable: x\n  executable: y\n${bomb.join('\n')}\nlast:\n  executable: x\n...\n`),
        ]),
      ),
    )
    expect((await jobs()).map(({ job_id }) => job_id)).toEqual(['good', 'last'])
    expect(report.rejected).toBe(6)
    const rejects = readFileSync(join(root, 'rejects.ndjson'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { line: number; job: string; reason: string })
    expect(rejects.map(({ line, job: name, reason }) => [line, name, reason])).toEqual([
      [5, 'tabs', 'a tab where blanks are wanted'],
      [6, 'missing', 'no executable'],
      [8, 'late', 'an alias of something in another job, or nowhere'],
      [10, null, 'not UTF-8'],
      [13, 'twice', 'a key is given twice'],
      [14, 'bomb', 'unknown key `k0`'],
    ])
  })

  test('aliases that multiply are refused quickly', async () => {
    const { write, add } = await campaign()
    const layers = Array.from(
      { length: 12 },
      (_, i) => `  l${i + 1}: &l${i + 1} [${Array(12).fill(`*l${i}`).join(', ')}]`,
    )
    const report = await add(write('a.yaml', `bomb:\n  l0: &l0 [lol]\n${layers.join('\n')}\n`))
    expect(report).toMatchObject({ added: 0, rejected: 1 })
    expect(report.firstRejects[0]?.reason).toBe('aliases that multiply beyond measure')
  })

  test('a file that is no map of jobs is refused with its line', async () => {
    const { write, add } = await campaign()
    await expect(add(write('a.yaml', 'a:\n  executable: x\n--- odd\n'))).rejects.toThrow(
      /a\.yaml:3: no job begins here/,
    )
    await expect(add(write('b.yaml', '  indented: x\n'))).rejects.toThrow(/b\.yaml:1: no job begins here/)
  })

  test('a list of jobs is read too', async () => {
    const { write, add, jobs } = await campaign()
    expect(await add(write('a.yaml', '- id: a\n  executable: x\n- id: b\n  executable: x\n'))).toMatchObject({
      added: 2,
    })
    expect((await jobs()).map(({ source }) => source.replace(/^.*\//, ''))).toEqual(['a.yaml:1', 'a.yaml:3'])
  })
})

describe('JSON', () => {
  test.each([
    ['[{"id": "a"', /a\.json:1: the document ends here/],
    ['{"id": "a"}\n{"id": "b"}', /a\.json:2: something follows the document/],
    ['[{"id": "a"} {"id": "b"}]', /a\.json:1: no comma/],
    ['"text"', /a\.json:1: neither a list nor a map/],
  ])('%s', async (text, message) => {
    const { write, add } = await campaign()
    await expect(add(write('a.json', text))).rejects.toThrow(message)
  })

  test('a job that is no JSON is rejected with its line', async () => {
    const { write, add } = await campaign()
    const report = await add(write('a.json', '[\n{"id": "a", "executable": "x"},\n{"id": "b", "executable": x}\n]'))
    expect(report).toMatchObject({ added: 1, rejected: 1 })
    expect(report.firstRejects[0]).toMatchObject({ line: 3 })
  })
})

describe('CSV', () => {
  test('a column that is not known is named, with the right one', async () => {
    const { write, add } = await campaign()
    await expect(add(write('a.csv', 'id,executible\na,x\n'))).rejects.toMatchObject({
      code: 'JOB_FILE_INVALID',
      hint: 'did you mean `executable`?',
    })
    await expect(add(write('b.csv', 'id,input\na,x\n'))).rejects.toThrow(/no column `executable`/)
  })

  test('rows with other cells are rejected with their lines; quoted cells may hold newlines', async () => {
    const { write, add, jobs } = await campaign()
    const report = await add(write('a.csv', 'id,executable,labels.n\n"a\nb",x,1\nshort,x\nlong,x,1,2\nc,x,""\n'))
    expect(report).toMatchObject({ added: 2, rejected: 2 })
    expect(report.firstRejects.map(({ line }) => line)).toEqual([4, 5])
    expect((await jobs()).map(({ job_id }) => job_id)).toEqual(['a\nb', 'c'])
  })
})

describe('templates', () => {
  const template = (more: string) =>
    `templates:\n  - for:\n${more}\n    job: {id: "\${a}-\${b}", executable: ./x.sh, data: {output: ["\${a}/\${b}"]}}\n`

  test('cross, zip, where, range with format', async () => {
    const { write, add, jobs } = await campaign()
    const names = async () => (await jobs()).map(({ job_id }) => job_id)
    await add(
      write(
        'a.yaml',
        template("      a: {range: [8, 10], format: '%02d'}\n      b: [x, y]\n    where: a <> 9 and b = 'x'").replace(
          'where',
          'where',
        ),
      ),
    )
    expect(await names()).toEqual(['08-x', '10-x'])
    await add(write('b.yaml', template('      a: [p, q, r]\n      b: {range: [5, 1, -2]}\n    combine: zip')))
    expect(await names()).toEqual(['08-x', '10-x', 'p-5', 'q-3', 'r-1'])
  })

  test('globs with groups; $ of the shell stays', async () => {
    const { write, add, jobs } = await campaign()
    for (const name of ['in-1.csv', 'in-2.csv', 'other.csv']) write(name, name)
    const text = `templates:\n  - for: {f: {glob: "*.csv", match: "in-(.)"}}\n    job: {id: "j\${f_1}", executable: ./x.sh, data: {input: ["\${f}"]}, check: "test -s \${FLOE_INPUT_1} && echo $HOME"}\n`
    await add(write('a.yaml', text))
    expect((await jobs()).map(({ job_id }) => job_id)).toEqual(['j1', 'j2'])
  })

  test.each([
    ['      a: [1]\n      b: [2]\n    combin: zip', /unknown key `combin`/],
    ['      a: []\n      b: [2]', /`a` has no values/],
    ['      a: {range: [1]}\n      b: [2]', /the range of `a`/],
    ['      a: [1]', /`\$\{b\}` is none of its names/],
    ['      a: [1]\n      b: [2]\n    where: c > 1', /c/],
    ["      a: [1]\n      b: [2]\n    where: a = '2'", /makes no job/],
    ["      a: [1]\n      b: [2]\n    where: 'true); drop table x; --'", /SQL|expression|syntax/i],
  ])('%s', async (more, message) => {
    const { write, add } = await campaign()
    await expect(add(write('a.yaml', template(more)))).rejects.toThrow(message)
  })

  test('a hundred thousand jobs are one statement', async () => {
    const { write, add } = await campaign()
    expect(
      await add(write('a.yaml', template('      a: {range: [1, 400]}\n      b: {range: [1, 250]}'))),
    ).toMatchObject({ added: 100_000 })
  })
})
