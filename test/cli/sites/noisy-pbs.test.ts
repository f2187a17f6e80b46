import { noisyScheduler } from './noisy.ts'

noisyScheduler('pbs')
