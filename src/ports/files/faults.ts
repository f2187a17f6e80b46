import { FloeError } from '../../model/errors.ts'

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
const REFUSED = new Set(['EACCES', 'EPERM', 'EROFS'])

/** An error of the system as a FloeError where floe has a code for it; else the same error with what was tried in front. */
export function systemError(cause: unknown, tried: string): Error {
  if (cause instanceof FloeError) return cause
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const message = `${tried}: ${cause instanceof Error ? cause.message : String(cause)}`
  if (FULL.has(code)) return new FloeError('DISK_FULL', message, { cause })
  if (REFUSED.has(code)) return new FloeError('NOT_WRITABLE', message, { cause })
  return Object.assign(new Error(message, { cause }), code ? { code } : {})
}
