import { pbs } from '../../connectors/pbs/pbs.ts'
import { FakePbs } from '../fakes/scheduler/pbs.ts'
import { clusterConformance } from './cluster.ts'

clusterConformance({ name: 'pbs', dialect: pbs, fake: (options) => new FakePbs(options) })
