/**
 * SQL of a relation with a row for each position of the plan in these batches, with `columns` of its batch beside `plan_id` and `position`: a join
 * by equality, where one by ranges compares each job with each batch. `batches` is a table, with or without a condition.
 */
export const positionsSql = (batches: string, columns: readonly string[]): string =>
  `(SELECT ${['plan_id', ...columns].join(', ')}, unnest(range(position_from, position_to)) AS position FROM ${batches})`
