import type { Tables } from '../ports/tables/tables.ts'

/**
 * Takes the rows of outputs out of the merged table whose content was replaced; `of` is a relation of their job_digest and output. The new
 * content comes with the next merge, which sees that `results` changed. Writes the parts that hold such rows anew, and nothing when none does.
 */
export async function forgetContents(
  tables: Tables,
  { of, guard }: { of: string; guard: () => Promise<void> },
): Promise<void> {
  const content = await tables.snapshot('merged')
  const remove = await tables.holding(content, of, ['job_digest', 'output'])
  if (remove.length === 0) return
  await tables.view('merged', { ...content, parts: remove }, '_merged_touched')
  await tables.commit('merged', {
    operation: 'forget replaced outputs',
    select: `select * from _merged_touched anti join ${of} using (job_digest, output)`,
    remove,
    schema: content.schema,
    expect: content.version,
    guard,
  })
}
