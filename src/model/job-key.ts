import { createHash } from 'node:crypto'

/** SQL for `job_key`: the first 63 bits of MD5 of a job id, its bytes from the last to the first. `column` is SQL. */
export const jobKeySql = (column: string): string => `CAST(md5_number(${column}) >> 65 AS BIGINT)`

/** The same of a name at hand. */
export const jobKey = (jobId: string): bigint => createHash('md5').update(jobId).digest().readBigUInt64LE(8) >> 1n
