import { createHash } from 'node:crypto'

/** SQL for `job_key`: the first 63 bits of SHA-256 of a job id. `column` is SQL. */
export const jobKeySql = (column: string): string =>
  `(('0x' || substr(sha256(${column}), 1, 16))::UBIGINT >> 1)::BIGINT`

/** The same of a name at hand. */
export const jobKey = (jobId: string): bigint => createHash('sha256').update(jobId).digest().readBigUInt64BE() >> 1n
