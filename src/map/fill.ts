/** Columns of a query into arrays of as many numbers. */
export async function fill(
  chunks: AsyncIterable<readonly ArrayLike<unknown>[]>,
  into: readonly (Uint32Array | Float64Array)[],
): Promise<void> {
  let at = 0
  for await (const columns of chunks) {
    for (const [i, target] of into.entries()) target.set(columns[i] as ArrayLike<number>, at)
    at += columns[0]!.length
  }
}
