export { CODES, FloeError } from './model/errors.ts'
