import type * as duck from '@duckdb/node-api'
import type { ColumnChunk, Value } from './tables.ts'

type Engine = typeof duck

/** Turns DuckDB's values into ours and back. Made once the engine is loaded, because its classes are needed. */
export class ValueConverter {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  readonly fromDuck = (value: duck.DuckDBValue): Value => {
    const engine = this.#engine
    if (value === null) return null
    if (typeof value === 'bigint') return narrow(value)
    if (typeof value !== 'object') return value
    if (value instanceof engine.DuckDBListValue || value instanceof engine.DuckDBArrayValue) {
      return value.items.map(this.fromDuck)
    }
    if (value instanceof engine.DuckDBStructValue) {
      return Object.fromEntries(Object.entries(value.entries).map(([key, entry]) => [key, this.fromDuck(entry)]))
    }
    if (value instanceof engine.DuckDBMapValue) {
      const pairs = value.entries.map((entry) => [String(this.fromDuck(entry.key)), this.fromDuck(entry.value)])
      return Object.fromEntries(pairs)
    }
    if (value instanceof engine.DuckDBTimestampTZValue || value instanceof engine.DuckDBTimestampValue) {
      return narrow(value.micros)
    }
    if (value instanceof engine.DuckDBDecimalValue) return value.toDouble()
    if (value instanceof engine.DuckDBUnionValue) return this.fromDuck(value.value)
    return value.toString()
  }

  readonly toDuck = (value: Value | undefined, type: duck.DuckDBType): duck.DuckDBValue => {
    const { DuckDBTypeId: T, DuckDBTimestampTZValue } = this.#engine
    if (value === null || value === undefined) return null
    switch (type.typeId) {
      case T.BIGINT:
      case T.HUGEINT:
        return BigInt(value as number | bigint)
      case T.INTEGER:
      case T.DOUBLE:
        return Number(value)
      case T.TIMESTAMP_TZ:
        return new DuckDBTimestampTZValue(BigInt(value as number | bigint))
      case T.LIST:
      case T.STRUCT:
      case T.MAP:
        return this.#nestedToDuck(value, type)
      default:
        return value as duck.DuckDBValue
    }
  }

  #nestedToDuck(value: Value, type: duck.DuckDBType): duck.DuckDBValue {
    const { DuckDBTypeId: T, listValue, mapValue, structValue } = this.#engine
    if (type.typeId === T.LIST) {
      const { valueType } = type as duck.DuckDBListType
      return listValue((value as readonly Value[]).map((element) => this.toDuck(element, valueType)))
    }
    const fields = value as { readonly [key: string]: Value }
    if (type.typeId === T.STRUCT) {
      const { entryNames, entryTypes } = type as duck.DuckDBStructType
      return structValue(
        Object.fromEntries(entryNames.map((name, at) => [name, this.toDuck(fields[name], entryTypes[at]!)])),
      )
    }
    const { keyType, valueType } = type as duck.DuckDBMapType
    const entries = Object.entries(fields)
    return mapValue(
      entries.map(([key, entry]) => ({ key: this.toDuck(key, keyType), value: this.toDuck(entry, valueType) })),
    )
  }

  /** The type that a parameter is bound with. An empty list is one of texts; a list takes the type of its first element that is not null. */
  readonly typeOf = (value: Value): duck.DuckDBType => {
    const engine = this.#engine
    if (value === null) return engine.SQLNULL
    if (typeof value === 'string') return engine.VARCHAR
    if (typeof value === 'boolean') return engine.BOOLEAN
    if (typeof value === 'bigint') return engine.BIGINT
    if (typeof value === 'number') return this.#numberType(value)
    if (Array.isArray(value)) return engine.LIST(this.#elementType(value as readonly Value[]))
    return engine.STRUCT(Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, this.typeOf(entry)])))
  }

  #numberType(value: number): duck.DuckDBType {
    const { BIGINT, DOUBLE, INTEGER } = this.#engine
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) return DOUBLE
    return value === (value | 0) ? INTEGER : BIGINT
  }

  #elementType(values: readonly Value[]): duck.DuckDBType {
    const { BIGINT, DOUBLE, INTEGER, VARCHAR } = this.#engine
    const present = values.filter((value) => value !== null)
    if (present.length === 0) return VARCHAR
    if (!present.every((value) => typeof value === 'number')) return this.typeOf(present[0]!)
    const types = new Set(present.map((value) => this.#numberType(value)))
    return [DOUBLE, BIGINT].find((type) => types.has(type)) ?? INTEGER
  }

  /** One column of a chunk: a copy of the memory of DuckDB where it is plain numbers. */
  chunkColumn(chunk: duck.DuckDBDataChunk, at: number): ColumnChunk {
    const { DuckDBBigIntVector, DuckDBDoubleVector, DuckDBIntegerVector } = this.#engine
    const vector = chunk.getColumnVector(at)
    const isPlain = [DuckDBIntegerVector, DuckDBBigIntVector, DuckDBDoubleVector].some((kind) => vector instanceof kind)
    if (isPlain && isWithoutNulls(vector, chunk.rowCount)) return typedValues(vector).slice()
    return chunk.getColumnValues(at).map(this.fromDuck)
  }
}

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
