import { rmSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mergeOutputs } from '../../../src/results/merged.ts'
import { columnNames, numberRows, parseHead } from '../../../src/results/merged-csv.ts'
import { openCampaign } from './merged-campaign.ts'

const columns = (text: string, isTsv = false) => {
  const head = parseHead(text, isTsv)
  return typeof head === 'object' && 'columns' in head ? head.columns : head
}

test('the head of a file names its columns', () => {
  expect(columns('a,b\n1,2\n')).toEqual(['a', 'b'])
  expect(columns('\uFEFFa;"b;c"\n1;2\n')).toEqual(['a', 'b_c'])
  expect(columns('a b\tc\n', true)).toEqual(['a_b', 'c'])
  expect(columns('a|b')).toEqual(['a', 'b'])
  expect(columns('only\n1\n')).toEqual(['only'])
  expect(columns('station,1982,1983\nx,1,2\n')).toEqual(['station', '1982', '1983'])
  expect(columns('"two\nlines",b\n1,2\n')).toEqual(['two_lines', 'b'])
  expect(columns('\n# note\n\na,b\n')).toEqual(['a', 'b'])
  expect(columns('# a b\n# x,y\n1,2\n')).toEqual(['x', 'y'])
  for (const empty of ['', '\n \n', '# x\n', '\uFEFF']) expect(parseHead(empty, false)).toBe('empty')
  for (const bare of ['1,2\n3,4\n', '1982-01-01,5\n', 'kara,3.5\n', '# one\n1,2\n']) {
    expect(parseHead(bare, false)).toHaveProperty('problem')
  }
})

test('rows begin where the head says', () => {
  const text = '# note\n\n"a\nb",c\n1,2\n'
  const head = parseHead(text, false)
  expect(head).toMatchObject({ skipLines: 4, bodyFrom: text.indexOf('1,2') })
})

test('names are such as Delta takes, each once, and none that the table needs', () => {
  expect(columnNames(['a', 'A', '', ' (x, y) ', 'output', 'a_1', '{}', 'm/s'])).toEqual([
    'a',
    'A_1',
    'column3',
    'x_y',
    'output_1',
    'a_1_1',
    'column7',
    'm/s',
  ])
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (raw) => {
      const names = columnNames(raw)
      expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(raw.length)
      expect(names.filter((name) => name === '' || /[ ,;{}()\n\t=]/.test(name))).toEqual([])
    }),
  )
})

test('rows are numbered, also where a quote holds a newline; a quote that stays open is seen', () => {
  expect(numberRows('1,2\r\n\r\n3,4', 7, ',')).toBe('7,0,1,2\n7,1,3,4\n')
  expect(numberRows('"a\n""b",2\n3,4\n', 7, ',')).toBe('7,0,"a\n""b",2\n7,1,3,4\n')
  expect(numberRows('5" pipe,2\n3,4\n', 7, ',')).toBe('7,0,5" pipe,2\n7,1,3,4\n')
  expect(numberRows('', 7, ',')).toBe('')
  for (const open of ['"a\n', '1,"', '1,"a""\n2,3\n']) expect(numberRows(open, 7, ',')).toBeUndefined()
})

test('whatever text is in quotes comes out as it was', async () => {
  const campaign = await openCampaign()
  const text = fc.string({ unit: fc.constantFrom(...'ab,;\t|"\n\'\\#é😀0 {}'), maxLength: 8 }).map((some) => `t${some}`)
  const file = fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 5 })
  const quote = (field: string) => `"${field.replaceAll('"', '""')}"`
  let run = 0
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 20 }), async (files) => {
        run += 1
        const outputs = files.map((rows, at) => ({
          job: `${run}-${at}`,
          output: `${run}-${at}.csv`,
          content: `x,y\n${rows.map((fields) => `${fields.map(quote).join()}\n`).join('')}`,
        }))
        await campaign.publish(outputs)
        const merged = await mergeOutputs(campaign.tables, { root: campaign.root })
        expect(merged.unreadable).toEqual([])
        await campaign.tables.view('merged')
        for (const [at, rows] of files.entries()) {
          const found = await campaign.rows(
            `select x, y from merged where output = '${run}-${at}.csv' order by output_row`,
          )
          expect(found).toEqual(rows.map(([x, y]) => ({ x, y })))
        }
      }),
      { numRuns: 15 },
    )
  } finally {
    await campaign.tables.close()
    rmSync(campaign.root, { recursive: true, force: true })
  }
})
