/** Of its time a scheduler gives the questions of floe no more than this share. */
const ASKED_SHARE = 0.05
const INTERVAL_MAX_SEC = 300

/**
 * Seconds from one question to the next: the usual ones, or as many as leave a scheduler that took `tookSec` for the last answer its time for others.
 * By the last answer alone: a scheduler that was busy is spared at once, and asked as usual as soon as it is quick again.
 */
export function intervalAfter(usualSec: number, tookSec: number): number {
  return Math.max(usualSec, Math.min(INTERVAL_MAX_SEC, tookSec / ASKED_SHARE))
}
