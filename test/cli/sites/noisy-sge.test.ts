import { noisyScheduler } from './noisy.ts'

noisyScheduler('sge')
