// Runs a campaign at a site and notes when each count of verdicts was reached, and when all was submitted. Usage: follow-site.js FLOE_JS CAMPAIGN SITE [JOBS_PER_BATCH].
// Prints one JSON document.
import type * as Floe from '../../src/floe.ts'

const [library = '', directory = '', site = '', jobsPerBatch] = process.argv.slice(2)
const { openCampaign } = (await import(library)) as typeof Floe
const campaign = await openCampaign(directory)
const seen: [number, number][] = []
const started = Date.now()
let submittedSec: number | null = null
const report = await campaign.run({
  site,
  ...(jobsPerBatch !== undefined && { jobsPerBatch: Number(jobsPerBatch) }),
  onProgress({ done, running, queued, total }) {
    if (total > 0 && done + running + queued >= total) submittedSec ??= (Date.now() - started) / 1000
    if (done !== seen.at(-1)?.[1]) seen.push([Date.now(), done])
  },
})
await campaign.close()
const { user, system } = process.cpuUsage()
const wallSec = (Date.now() - started) / 1000
process.stdout.write(
  `${JSON.stringify({ started, seen, succeeded: report.succeeded, wallSec, submittedSec, cpuSec: (user + system) / 1e6 })}\n`,
)
