import { noisyScheduler } from './noisy.ts'

noisyScheduler('slurm')
