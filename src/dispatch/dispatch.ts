import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type ArraySpec,
  type Connector,
  ConnectorError,
  type NativeId,
  type TaskReport,
} from '../../connectors/connector.ts'
import { type Code, FloeError } from '../model/errors.ts'

export type { ArraySpec, Connector, NativeId, TaskReport }

/**
 * Submits a staged array exactly once, whoever calls and however often: an `id` file beside the manifest means done; else `tried` is
 * written before the scheduler is asked, and `id` is published by link, first wins. The connector's `submit` is idempotent on the name.
 */
export async function submitOnce(connector: Connector, array: ArraySpec): Promise<NativeId> {
  const known = nativeIdOf(array.directory)
  if (known !== undefined) return known
  writeFileSync(join(array.directory, 'tried'), `${array.name}\n`, { mode: 0o600 })
  const id = await translate(`submit ${array.name}`, () => connector.submit(array))
  const aside = join(array.directory, `id.${process.pid}`)
  writeFileSync(aside, `${id}\n`, { mode: 0o600 })
  try {
    linkSync(aside, join(array.directory, 'id'))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
  } finally {
    rmSync(aside, { force: true })
  }
  return nativeIdOf(array.directory)!
}

/** The scheduler's id of an array, when it was submitted. */
export function nativeIdOf(directory: string): NativeId | undefined {
  const path = join(directory, 'id')
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined
}

/** False: the scheduler was never asked to run the array, so nothing of it can be running. */
export function wasTried(directory: string): boolean {
  return existsSync(join(directory, 'tried'))
}

/** One status call for all arrays, given with their counts of tasks. Undefined: the scheduler did not answer, and the last states stand. */
export async function watchTasks(
  connector: Connector,
  arrays: ReadonlyMap<NativeId, number>,
): Promise<TaskReport[] | undefined> {
  if (arrays.size === 0) return []
  try {
    return await translate('ask for the states of the tasks', () => connector.status(arrays))
  } catch (error) {
    if (error instanceof FloeError && error.code === 'SITE_UNREACHABLE') return undefined
    throw error
  }
}

/** Cancels tasks of an array; what ended or never was is cancelled already. */
export async function cancelTasks(connector: Connector, id: NativeId, indices?: readonly number[]): Promise<void> {
  await translate(`cancel ${id}`, () => connector.cancel(id, indices))
}

const CODE_OF: Readonly<Record<ConnectorError['kind'], Code>> = {
  unreachable: 'SITE_UNREACHABLE',
  wait: 'SITE_UNREACHABLE',
  refused: 'SUBMIT_REFUSED',
  never: 'SUBMIT_REFUSED',
  unreadable: 'SUBMIT_UNREADABLE',
  'unknown state': 'STATE_UNKNOWN',
}

async function translate<T>(tried: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error
    throw new FloeError(CODE_OF[error.kind], `Could not ${tried}: ${error.message}`, { hint: error.hint, cause: error })
  }
}
