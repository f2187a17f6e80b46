export { type Decided, type Fold, foldRecords, type TaskName, taskName } from './fold.ts'
export { type Offsets, type ReadLine, readRecords } from './read-records.ts'
