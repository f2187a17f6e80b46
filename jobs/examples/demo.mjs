// demo.mjs [DIRECTORY]: a real campaign from start to end, by floe's library as anyone would use it. Once it is done, a second run does nothing.
import { existsSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FloeError, initCampaign, openCampaign } from 'floe'
import { drawSvg, drawTerminal } from './demo-picture.mjs'

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const directory = resolve(process.argv[2] ?? join(root, 'demo/winds'))
const shown = (path) => {
  const from = relative(process.cwd(), path)
  return from.startsWith('..') ? path : from || '.'
}
const count = (number) => number.toLocaleString('en-US')
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`
const say = (text = '') => process.stdout.write(`${text}\n`)
const sayStep = (step, text, since) =>
  say(
    `  ${step.padEnd(9)} ${since === undefined ? text : text.padEnd(66)}${since === undefined ? '' : ` ${seconds(since)}`}`,
  )

const STRONGEST = `
  select sector, max(mean_speed_m_s) as speed, arg_max(strftime(month_start, '%b %Y'), mean_speed_m_s) as month,
    arg_max(direction_deg, mean_speed_m_s) as direction, arg_max(steadiness, mean_speed_m_s) as steadiness
  from merged group by sector order by speed desc`
const SEASON = `
  with months as (
    select year, month, sum(mean_speed_m_s * area_km2) / sum(area_km2) as speed from merged group by year, month)
  select month::integer as month, avg(speed) as mean, min(speed) as least, max(speed) as most from months group by month order by month`

async function main() {
  say('Arctic winds, 1982–1992: 132 months, 8 sectors, 1,056 jobs over 145 files (2.8 MB).\n')
  if (!existsSync(join(directory, 'campaign.json'))) await initCampaign(directory)
  const campaign = await openCampaign(directory)
  try {
    await add(campaign)
    const plan = await campaign.plan()
    if (plan.jobs > 0) {
      sayStep(
        'map',
        `${count(plan.jobs)} jobs in ${plan.batches} batches, ${megabytes(plan.bytes_to_nodes)} to read ` +
          `(${megabytes(plan.bytes_lower_bound)} at best, ${megabytes(plan.bytes_naive)} ungrouped)`,
      )
    }
    const report = await run(campaign, plan.jobs)
    if (report.stopped === 'interrupted') {
      say('\nStopped looking; the jobs go on working. `npm run demo` again takes up from here.')
      return 130
    }
    if (report.succeeded < report.jobs) {
      say(
        `\n${count(report.jobs - report.succeeded)} jobs did not succeed: npx floe -C ${shown(directory)} jobs --state failed`,
      )
      return 3
    }
    await tell(campaign)
    sayNext()
    return 0
  } finally {
    await campaign.close()
  }
}

async function add(campaign) {
  const since = performance.now()
  const { added, unchanged, rejected } = await campaign.add([join(root, 'jobs/examples/winds/jobs.yaml')])
  if (rejected > 0) throw new Error(`${rejected} rows of jobs.yaml were rejected`)
  sayStep('catalog', added > 0 ? `${count(added)} jobs added` : `${count(unchanged)} jobs, unchanged`, since)
}

async function run(campaign, planned) {
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  const since = performance.now()
  const report = await campaign.run({ signal: interrupted.signal, onProgress: (progress) => draw(progress, since) })
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K')
  const { decided } = report
  const done = decided.succeeded + decided.failed + decided.cancelled + decided.lost
  if (done > 0) {
    const ended = report.stopped === null ? `done in ${seconds(since)}` : ''
    sayStep('run', `${bar(done, Math.max(done, planned))}  ${rate(done, since)}  ${ended}`.trimEnd())
  } else if (report.stopped === null) {
    sayStep(
      'run',
      `nothing to do: ${count(report.succeeded)} of ${count(report.jobs)} jobs have succeeded, and nothing has changed`,
    )
  }
  return report
}

const BAR = 28
function bar(done, total) {
  const full = total === 0 ? BAR : Math.floor((BAR * done) / total)
  return `${'█'.repeat(full)}${'░'.repeat(BAR - full)}  ${count(done)}/${count(total)}`
}

const rate = (done, since) => `${count(Math.round(done / ((performance.now() - since) / 1000)))} jobs/s`

/** On a screen the bar is drawn over itself; elsewhere only its end is said. */
function draw({ done, total }, since) {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K  run       ${bar(done, total)}  ${rate(done, since)}`)
}

async function tell(campaign) {
  const [{ rows }] = await ask(campaign, 'select count(*)::integer as rows from merged')
  sayStep('results', `${count(rows)} rows in ${shown(join(directory, 'tables/merged'))}`)
  say(`\nStrongest month of each sector          m/s  from  steadiness`)
  for (const { sector, speed, month, direction, steadiness } of await ask(campaign, STRONGEST)) {
    say(
      `  ${sector.padEnd(22)}${month.padEnd(11)}${speed.toFixed(2).padStart(8)}  ${compass(direction).padEnd(4)}${steadiness.toFixed(2).padStart(12)}`,
    )
  }
  const season = await ask(campaign, SEASON)
  const picture = join(directory, 'season.svg')
  const title = 'Mean wind speed north of 60° N, 1982–1992'
  writeFileSync(
    picture,
    drawSvg(season, {
      title,
      subtitle: 'Monthly mean winds over the sea. Line: mean of 11 years, by area. Band: calmest to windiest year',
    }),
  )
  say(`\n${'Mean wind speed north of 60° N, m/s'.padEnd(37)}by month, 1982–1992`)
  say(drawTerminal(season))
  say(`\n  picture   ${shown(picture)}`)
}

async function ask(campaign, sql) {
  const answer = await campaign.query(sql)
  const rows = []
  for await (const chunk of answer.rows) rows.push(...chunk)
  return rows
}

const compass = (degrees) =>
  degrees === null ? '–' : ['N', 'NE', 'E', 'SE', 'S', 'SW', 'W', 'NW'][Math.round(degrees / 45) % 8]

function sayNext() {
  const command = `npx floe -C ${shown(directory)}`
  say(`\nNext:
  ${command} status
  ${command} query "select sector, avg(mean_speed_m_s) as mean_speed_m_s from merged group by 1"
  ${command} show 1987-03-barents`)
}

// `| head` closed the pipe: nobody reads on.
process.stdout.on('error', () => process.exit(0))
try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof FloeError)) throw error
  console.error(`floe: ${error.message}\n  do  ${error.hint}`)
  process.exitCode = error.exit
}
