import { slurm } from '../../connectors/slurm/slurm.ts'
import { FakeSlurm } from '../fakes/scheduler/slurm.ts'
import { clusterConformance } from './cluster.ts'

clusterConformance({ name: 'slurm', dialect: slurm, fake: (options) => new FakeSlurm(options) })
