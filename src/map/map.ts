export { type AffinityOptions, type AffinityOrder, affinityOrder } from './affinity-order.ts'
export { type BatchLimits, type CutBatch, type CutOrder, cutBatches, type OrderedJobs } from './cut-batches.ts'
export { bytesToNodes, type Hypergraph } from './hypergraph.ts'
export { type PlanCosts, type PlanOptions, planJobs } from './plan-jobs.ts'
