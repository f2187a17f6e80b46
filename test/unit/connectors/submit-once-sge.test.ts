import { submitsOnce } from '../../conformance/submits-once.ts'
import { clusterOf } from '../../fakes/clusters.ts'

submitsOnce(clusterOf('sge'))
