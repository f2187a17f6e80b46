// The baseline of `add`: DuckDB alone reads NDJSON and writes zstd Parquet in 64 partitions. Usage: duckdb-copy.js NDJSON FOLDER
import { DuckDBInstance } from '@duckdb/node-api'

const [from, to] = process.argv.slice(2).map((path) => `'${path.replaceAll("'", "''")}'`)
const instance = await DuckDBInstance.create(':memory:', { preserve_insertion_order: 'false', memory_limit: '1500MB' })
const connection = await instance.connect()
await connection.run(
  `COPY (SELECT *, hash(data.input) % 64 AS bucket FROM read_json(${from}, format = 'newline_delimited'))
   TO ${to} (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (bucket))`,
)
connection.closeSync()
instance.closeSync()
