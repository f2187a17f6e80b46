import {
  type ArraySpec,
  type Connector,
  type NativeId,
  type TaskEnding,
  type TaskReport,
  TooEarly,
} from '../../connectors/connector.ts'
import { FloeError } from '../model/errors.ts'
import { translated } from './translate.ts'

export type { Calls } from './calls.ts'
export type { Reserved } from './reserve.ts'
export { programThere } from './runner-there.ts'
export { openScratchSite, rhythmOf, type ScratchSiteOptions } from './scratch-site.ts'
export { SimulatedArrays } from './simulated-arrays.ts'
export { simulatedRunner } from './simulated-runner.ts'
export { clusterSite, simulatedSite } from './simulated-site.ts'
export {
  type CachedContent,
  localSite,
  type Seal,
  type SeenFile,
  type Site,
  type SiteUsage,
  type TaskLimits,
} from './site.ts'
export { isRefusal, translated } from './translate.ts'
export type { ArraySpec, Connector, NativeId, TaskEnding, TaskReport }

/**
 * One status call for all arrays, given with their counts of tasks. Undefined: the scheduler did not answer, and the last states stand. With
 * `onEarly` it is asked in turn with other runs; that hears when it may be asked, if it was too early.
 */
export async function watchTasks(
  connector: Connector,
  arrays: ReadonlyMap<NativeId, number>,
  onEarly?: (laterMs: number) => void,
): Promise<TaskReport[] | undefined> {
  if (arrays.size === 0) return []
  return lenient(async () => {
    try {
      return await translated('ask for the states of the tasks', () =>
        connector.status(arrays, { inTurn: onEarly !== undefined }),
      )
    } catch (error) {
      if (error instanceof FloeError && error.cause instanceof TooEarly) onEarly?.(error.cause.laterMs)
      throw error
    }
  })
}

/** What accounting says of tasks that ended; undefined: nothing that could be used. It only explains, so it stops nothing. */
export async function endingsOf(
  connector: Connector,
  ids: readonly NativeId[],
): Promise<readonly TaskEnding[] | undefined> {
  try {
    return await translated('ask how tasks ended', () => connector.endings(ids))
  } catch (error) {
    if (error instanceof FloeError) return undefined
    throw error
  }
}

/** Cancels tasks of an array, without indices all; what ended or never was is cancelled already. */
export async function cancelTasks(connector: Connector, id: NativeId, indices?: readonly number[]): Promise<void> {
  await translated(`cancel ${id}`, () => connector.cancel(id, indices))
}

/** Keeps what waits of an array from nodes, where the scheduler can be told; false: it does not answer now. It only spares tasks, so it stops nothing. */
export async function keepFrom(
  { avoid }: Connector,
  id: NativeId,
  { nodes, options }: { nodes: readonly string[]; options: readonly string[] },
): Promise<boolean> {
  try {
    await translated(`keep ${id} from ${nodes.join(', ') || 'no node'}`, async () => avoid?.(id, nodes, options))
    return true
  } catch (error) {
    if (!(error instanceof FloeError)) throw error
    return error.code !== 'SITE_UNREACHABLE'
  }
}

/** A site that does not answer now is asked again later. */
export async function lenient<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act()
  } catch (error) {
    if (error instanceof FloeError && error.code === 'SITE_UNREACHABLE') return undefined
    throw error
  }
}
