import { expect, it } from 'vitest'
import { TABLES } from '../../../src/model/tables.ts'
import { formatType, fromSchemaString, parseType, sameType, toSchemaString } from '../../../src/ports/tables/types.ts'

it('reads nested types', () => {
  expect(formatType(parseType('STRUCT(path VARCHAR, "a ""b"" c" INTEGER[])[]'))).toBe(
    'STRUCT("path" VARCHAR, "a ""b"" c" INTEGER[])[]',
  )
  expect(parseType('MAP(VARCHAR, STRUCT(x TIMESTAMPTZ))')).toEqual({
    kind: 'map',
    key: { kind: 'scalar', name: 'VARCHAR' },
    value: { kind: 'struct', fields: [{ name: 'x', type: { kind: 'scalar', name: 'TIMESTAMP WITH TIME ZONE' } }] },
  })
  expect(formatType(parseType('decimal(22, 1)[][]'))).toBe('DECIMAL(22,1)[][]')
})

it('takes two spellings of a type for one', () => {
  expect(sameType('TIMESTAMPTZ', 'timestamp with time zone')).toBe(true)
  expect(sameType('STRUCT(a INT)', 'STRUCT("a" INTEGER)')).toBe(true)
  expect(sameType('INTEGER', 'BIGINT')).toBe(false)
})

it.each(['', 'STRUCT(', 'VARCHAR)', 'MAP(VARCHAR)', 'VARCHAR[', 'a b'])('refuses %j', (text) => {
  expect(() => parseType(text)).toThrow()
})

it.each(['UBIGINT', 'TIMESTAMP', 'UUID', 'INTERVAL', 'HUGEINT'])('keeps %s out of durable tables', (type) => {
  expect(() => toSchemaString([{ name: 'a', type }])).toThrow(expect.objectContaining({ code: 'NOT_SUPPORTED' }))
})

it('brings the schema of each table back from Delta', () => {
  for (const { columns } of Object.values(TABLES)) {
    const back = fromSchemaString(toSchemaString(columns))
    expect(back.map(({ name }) => name)).toEqual(columns.map(({ name }) => name))
    for (const [at, column] of columns.entries()) expect(sameType(back[at]!.type, column.type)).toBe(true)
  }
})
