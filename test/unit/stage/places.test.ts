import { expect, it } from 'vitest'
import type { ManifestJob } from '../../../src/model/manifest.ts'
import { parsePlaces } from '../../../src/model/places.ts'
import { placesText } from '../../../src/stage/places.ts'

const job = (...inputs: string[]) =>
  ({ inputs: inputs.map((path) => ({ name: path, path, size_bytes: null, mtime: null })) }) as unknown as ManifestJob
const NODES: Readonly<Record<string, Record<string, number>>> = {
  'webhdfs://nn/a': { '/r1/dn1': 10, '/r2/dn2': 10 },
  'webhdfs://nn/b': { '/r1/dn1': 5, '/r3/dn3': 5 },
}
const nodesOf = (url: string) => NODES[url]

it('tells of each task where its distinct inputs lie, most first', () => {
  const lines = new Map([
    [0, [job('webhdfs://nn/a', '/data/x'), job('webhdfs://nn/b', 'webhdfs://nn/a')]],
    [2, [job('webhdfs://nn/b', 'webhdfs://nn/unknown')]],
  ])
  const text = placesText([0, 1, 2], lines, nodesOf)!
  expect(parsePlaces(text)).toEqual({
    nodes: ['/r1/dn1', '/r2/dn2', '/r3/dn3'],
    tasks: [
      [
        [0, 15],
        [1, 10],
        [2, 5],
      ],
      [],
      [
        [0, 5],
        [2, 5],
      ],
    ],
  })
})

it('tells nothing where nothing is known', () => {
  expect(placesText([0, 1], new Map([[0, [job('/data/x', 'webhdfs://nn/unknown')]]]), nodesOf)).toBeUndefined()
})
