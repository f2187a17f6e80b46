import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { csvLine } from '../../../src/cli/text/csv.ts'
import { renderTable, textWidth, visible } from '../../../src/cli/text/table.ts'
import { near, shellWord } from '../../../src/cli/text/words.ts'

describe('a table', () => {
  test('has its columns under each other, also with wide letters', () => {
    const rows = [
      ['karasee', '7'],
      ['北極', '1,056'],
      ['🧊x', ''],
      ['a\nb\u001b[31m', '3'],
    ]
    expect(renderTable([{ title: 'sea' }, { title: 'jobs', align: 'right' }], rows)).toMatchInlineSnapshot(`
      "sea              jobs
      karasee             7
      北極            1,056
      🧊x
      a\\nb\\u001b[31m      3
      "
    `)
  })

  test('cuts what is too long, and may have no titles', () => {
    expect(renderTable([{ title: 'x', max: 5 }], [['123456789'], ['北極北極']], { titles: false })).toBe(
      '1234…\n北極…\n',
    )
    expect(renderTable([{ title: 'a' }], [])).toBe('a\n')
  })

  test('never lets a control character through', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (cells) => {
        const text = renderTable(
          [{ title: 'x' }],
          cells.map((cell) => [cell]),
          { titles: false },
        )
        expect(text.split('\n').length).toBe(cells.length + 1)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        expect(text.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/)
      }),
    )
  })
})

test('widths', () => {
  expect(['', 'abc', 'é', 'e\u0301', '北', '🧊', '👨‍👩‍👧'].map(textWidth)).toEqual([0, 3, 1, 1, 2, 2, 2])
  expect(visible('a\tb\u007f')).toBe('a\\tb\\u007f')
})

test('CSV quotes where it has to', () => {
  expect(csvLine(['a', '', 'b,c', 'd"e', 'f\ng'])).toBe('a,,"b,c","d""e","f\ng"\n')
})

test('words for a shell', () => {
  expect(['a/b-c.csv', 'a b', "it's", '', '$(rm)', 'x\ny'].map(shellWord)).toEqual([
    'a/b-c.csv',
    "'a b'",
    "'it'\\''s'",
    "''",
    "'$(rm)'",
    "$'x\\ny'",
  ])
  expect([near('/a/b/c', '/a'), near('/a', '/a'), near('/x', '/a')]).toEqual(['b/c', '.', '/x'])
})
