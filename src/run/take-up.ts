import { liveArrays } from './arrays.ts'
import type { RunContext } from './context.ts'
import type { Feed } from './feed.ts'
import type { LiveArray } from './live-array.ts'
import type { Publisher } from './publisher.ts'
import type { Watch } from './watch.ts'

export interface TakenUp {
  /** Batches that are cut and in no array. */
  readonly cut: number
  /** Jobs that are not decided, in arrays and cut batches. */
  readonly jobs: number
}

/**
 * Puts the arrays that an earlier coordinator left into `arrays`; their records are read from the start. One that may have been submitted
 * stays as it was staged, since its tasks may be reading the manifest, and is to be offered again; one that never was is let go, and its
 * jobs wait for a plan.
 */
export async function takeUp(
  context: RunContext,
  {
    arrays,
    feed,
    watch,
    publisher,
  }: { arrays: Map<string, LiveArray>; feed: Feed; watch: Watch; publisher: Publisher },
): Promise<TakenUp> {
  const { site } = context
  const left = await liveArrays(context)
  await site.pull(left.arrays.map(({ array }) => array.id))
  let jobs = left.cutJobs
  for (const { array, committed } of left.arrays) {
    arrays.set(array.id, array)
    const { state, nativeId } = await site.submission(array.id)
    array.nativeId = nativeId
    if (state === 'not tried') await letGo(context, array)
    publisher.addDecided(array, array.harvest(committed))
    // A mount may be away for a moment: a site that looks on decides later.
    if (state === 'gone' && site.rhythm.graceMs === 0) watch.giveUpPurged(array)
    else if (state === 'gone') array.goneSince = context.clock.ticks()
    jobs += array.undecidedJobs
  }
  if (left.arrays.length > 0) feed.patience.heard()
  return { cut: left.cut, jobs }
}

/** A submission of it that is still under way on the login node, though nobody waits for it, finds nothing to submit then. */
async function letGo({ site }: RunContext, array: LiveArray): Promise<void> {
  for (const { task } of array.batches) array.markGone(task)
  await site.remove([array.id])
}
