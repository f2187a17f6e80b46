import { expect, test } from 'vitest'
import { visibleDevices } from '../../../jobs/runner/devices.ts'

const seen = (environment: Record<string, string>, gpus: number, slots: number) =>
  Array.from({ length: slots }, (_, index) => visibleDevices({ index, slots, gpus }, environment))

test('devices of a task are dealt out to its slots, by whatever names they have', () => {
  expect(seen({ CUDA_VISIBLE_DEVICES: '3,5,6,7' }, 2, 2)).toEqual([
    { CUDA_VISIBLE_DEVICES: '3,5' },
    { CUDA_VISIBLE_DEVICES: '6,7' },
  ])
  expect(seen({ CUDA_VISIBLE_DEVICES: 'GPU-a,GPU-b', ROCR_VISIBLE_DEVICES: '0,1' }, 1, 2)[1]).toEqual({
    ...{ CUDA_VISIBLE_DEVICES: 'GPU-b', ROCR_VISIBLE_DEVICES: '1' },
  })
})

test('where none are told they are numbered', () => {
  expect(seen({}, 1, 2)).toEqual([{ CUDA_VISIBLE_DEVICES: '0' }, { CUDA_VISIBLE_DEVICES: '1' }])
})

test('one slot, jobs without GPUs, and too few devices are left as they are', () => {
  expect(seen({ CUDA_VISIBLE_DEVICES: '0,1' }, 2, 1)).toEqual([{}])
  expect(seen({ CUDA_VISIBLE_DEVICES: '0,1' }, 0, 2)).toEqual([{}, {}])
  expect(seen({ CUDA_VISIBLE_DEVICES: '0' }, 1, 2)).toEqual([{}, {}])
})
