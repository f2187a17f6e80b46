// Asks a campaign for its status again and again in one process. Usage: warm-status.js FLOE_JS CAMPAIGN TIMES. Prints the seconds of each as JSON.
import type * as Floe from '../../src/floe.ts'

const [library = '', directory = '', times = ''] = process.argv.slice(2)
const { openCampaign } = (await import(library)) as typeof Floe
const campaign = await openCampaign(directory)
await campaign.status()
const took: number[] = []
for (let turn = 0; turn < Number(times); turn++) {
  const started = performance.now()
  await campaign.status()
  took.push((performance.now() - started) / 1000)
}
await campaign.close()
process.stdout.write(JSON.stringify(took))
