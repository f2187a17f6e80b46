import type * as duck from '@duckdb/node-api'
import type { ColumnChunk, Value } from './tables.ts'

type Engine = typeof duck

/** Turns DuckDB's values into ours and back. Made once the engine is loaded, because its classes are needed. */
export function valueConverter(engine: Engine) {
  const { DuckDBTypeId: T } = engine

  const fromDuck = (value: duck.DuckDBValue): Value => {
    if (value === null) return null
    if (typeof value === 'bigint') return narrow(value)
    if (typeof value !== 'object') return value
    if (value instanceof engine.DuckDBListValue || value instanceof engine.DuckDBArrayValue) {
      return value.items.map(fromDuck)
    }
    if (value instanceof engine.DuckDBStructValue) {
      return Object.fromEntries(Object.entries(value.entries).map(([key, entry]) => [key, fromDuck(entry)]))
    }
    if (value instanceof engine.DuckDBMapValue) {
      return Object.fromEntries(value.entries.map((entry) => [String(fromDuck(entry.key)), fromDuck(entry.value)]))
    }
    if (value instanceof engine.DuckDBTimestampTZValue || value instanceof engine.DuckDBTimestampValue) {
      return narrow(value.micros)
    }
    if (value instanceof engine.DuckDBDecimalValue) return value.toDouble()
    if (value instanceof engine.DuckDBUnionValue) return fromDuck(value.value)
    return value.toString()
  }

  const toDuck = (value: Value | undefined, type: duck.DuckDBType): duck.DuckDBValue => {
    if (value === null || value === undefined) return null
    switch (type.typeId) {
      case T.BIGINT:
      case T.HUGEINT:
        return BigInt(value as number | bigint)
      case T.INTEGER:
      case T.DOUBLE:
        return Number(value)
      case T.TIMESTAMP_TZ:
        return new engine.DuckDBTimestampTZValue(BigInt(value as number | bigint))
      case T.LIST: {
        const { valueType } = type as duck.DuckDBListType
        return engine.listValue((value as readonly Value[]).map((element) => toDuck(element, valueType)))
      }
      case T.STRUCT: {
        const { entryNames, entryTypes } = type as duck.DuckDBStructType
        const fields = value as { readonly [key: string]: Value }
        return engine.structValue(
          Object.fromEntries(entryNames.map((name, at) => [name, toDuck(fields[name], entryTypes[at]!)])),
        )
      }
      case T.MAP: {
        const { keyType, valueType } = type as duck.DuckDBMapType
        const entries = Object.entries(value as { readonly [key: string]: Value })
        return engine.mapValue(
          entries.map(([key, entry]) => ({ key: toDuck(key, keyType), value: toDuck(entry, valueType) })),
        )
      }
      default:
        return value as duck.DuckDBValue
    }
  }

  /** The type that a parameter is bound with. An empty list is one of texts; a list takes the type of its first element that is not null. */
  const typeOf = (value: Value): duck.DuckDBType => {
    if (value === null) return engine.SQLNULL
    if (typeof value === 'string') return engine.VARCHAR
    if (typeof value === 'boolean') return engine.BOOLEAN
    if (typeof value === 'bigint') return engine.BIGINT
    if (typeof value === 'number') return numberType(value)
    if (Array.isArray(value)) return engine.LIST(listType(value as readonly Value[]))
    return engine.STRUCT(Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, typeOf(entry)])))
  }
  const numberType = (value: number): duck.DuckDBType => {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) return engine.DOUBLE
    return value === (value | 0) ? engine.INTEGER : engine.BIGINT
  }
  const listType = (values: readonly Value[]): duck.DuckDBType => {
    const present = values.filter((value) => value !== null)
    if (present.length === 0) return engine.VARCHAR
    if (present.every((value) => typeof value === 'number')) {
      const types = present.map((value) => numberType(value as number))
      return types.find((type) => type === engine.DOUBLE) ?? types.find((type) => type === engine.BIGINT) ?? types[0]!
    }
    return typeOf(present[0]!)
  }

  const chunkColumn = (chunk: duck.DuckDBDataChunk, at: number): ColumnChunk => {
    const vector = chunk.getColumnVector(at)
    if (
      (vector instanceof engine.DuckDBIntegerVector ||
        vector instanceof engine.DuckDBBigIntVector ||
        vector instanceof engine.DuckDBDoubleVector) &&
      isWithoutNulls(vector, chunk.rowCount)
    ) {
      return typedValues(vector).slice()
    }
    return chunk.getColumnValues(at).map(fromDuck)
  }

  return { fromDuck, toDuck, typeOf, chunkColumn }
}

export type ValueConverter = ReturnType<typeof valueConverter>

const SAFE = BigInt(Number.MAX_SAFE_INTEGER)

function narrow(value: bigint): number | bigint {
  return value <= SAFE && value >= -SAFE ? Number(value) : value
}

// `items` and `validity` are private in the typings of node-api 1.5.6 though they are what its vectors are made of; reading values one by one
// through getItem costs ten times as much.
interface OpenVector {
  readonly items: Int32Array | BigInt64Array | Float64Array
  readonly validity: { readonly data: BigUint64Array | null }
}

function typedValues(vector: unknown): Int32Array | BigInt64Array | Float64Array {
  return (vector as OpenVector).items
}

function isWithoutNulls(vector: unknown, rows: number): boolean {
  const { data } = (vector as OpenVector).validity
  if (!data) return true
  const whole = Math.floor(rows / 64)
  for (let word = 0; word < whole; word++) if (data[word] !== 0xffff_ffff_ffff_ffffn) return false
  const rest = rows % 64
  return rest === 0 || BigInt.asUintN(rest, data[whole]!) === (1n << BigInt(rest)) - 1n
}
