export { type AttemptContext, attemptRow, resultRows } from './attempt-row.ts'
export { type Merged, type MergedView, mergedView, mergeOutputs } from './merged.ts'
export { type Publication, publish } from './publish.ts'
export { type Answer, answerFromResults, type Question, type Source } from './reuse.ts'
