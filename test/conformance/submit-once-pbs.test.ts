import { clusterOf } from '../fakes/clusters.ts'
import { submitsOnce } from './submits-once.ts'

submitsOnce(clusterOf('pbs'))
