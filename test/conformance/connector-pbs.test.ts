import { clusterOf } from '../fakes/clusters.ts'
import { clusterConformance } from './cluster.ts'

clusterConformance(clusterOf('pbs'))
