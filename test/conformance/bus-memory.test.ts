import { memoryBus, memoryLog } from '../../src/ports/bus/memory.ts'
import { busConformance } from './bus.ts'

busConformance('memory', async () => {
  const log = memoryLog()
  return { bus: memoryBus(log), again: () => memoryBus(log), close: async () => {} }
})
