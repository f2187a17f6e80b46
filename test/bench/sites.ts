import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type SlurmSite, startSlurm } from '../containers/clusters.ts'
import { until } from '../containers/machine.ts'
import { sweep } from '../containers/owner.ts'
import { median } from './figures.ts'
import { count, floe, freshCampaign, type Ground, jobsFor, withTables } from './ground.ts'
import { beside, measure } from './measure.ts'

/* What floe asks of a cluster, on a Slurm in containers over SSH. Needs an engine for containers: `infra/engine.sh start`. */

const INTERVAL_SEC = 10
/** One task at a time has both cores of the only node. */
export const CPUS = 2
const COMMANDS = ['sbatch', 'squeue', 'sacct', 'scontrol', 'sinfo', 'sacctmgr', 'scancel']
export const CALLS = '/scratch/calls'

export async function benchSites(ground: Ground): Promise<void> {
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true'
  await sweep()
  ground.tell('starting a Slurm')
  const site = await startSlurm({ nodes: 1, cpus: CPUS })
  try {
    await countCalls(site)
    const config = join(ground.scratch, 'config')
    process.env.XDG_CONFIG_HOME = config
    await describeTo(config, site)
    await load(ground, site)
    await waiting(ground)
  } finally {
    await site.stop()
  }
}

/** Each command leaves a line before it becomes the real one. */
export async function countCalls(site: SlurmSite): Promise<void> {
  const lines = COMMANDS.map(
    (name) => `printf '#!/bin/sh\\necho ${name} >>${CALLS}\\nexec /usr/bin/${name} "$@"\\n' >/usr/local/bin/${name}
      chmod 755 /usr/local/bin/${name}`,
  )
  await site.login.ask(`: >${CALLS} && chmod 666 ${CALLS}\n${lines.join('\n')}`)
}

export async function describeTo(config: string, site: SlurmSite): Promise<void> {
  const { host, port, user, identityFile, knownHostsFile } = await site.ssh()
  mkdirSync(join(config, 'floe'), { recursive: true })
  const text = `sites:
  frost:
    connector: slurm
    ssh: {to: ${user}@${host}, port: ${port}, identity: ${identityFile}, known_hosts: ${knownHostsFile}, agent: none}
    scratch: /scratch/alice
    task: {cpus: ${CPUS}}
    interval: ${INTERVAL_SEC}s
`
  writeFileSync(join(config, 'floe', 'sites.yaml'), text, { mode: 0o600 })
}

export interface Followed {
  readonly seen: readonly (readonly [number, number])[]
  readonly succeeded: number
  readonly wallSec: number
  /** From the start until nothing was left to be submitted. */
  readonly submittedSec: number | null
  readonly cpuSec: number
}

async function load(ground: Ground, site: SlurmSite): Promise<void> {
  const jobs = jobsFor(ground, 100_000)
  const work = `${count(jobs)} tiny jobs on Slurm over SSH`
  const [ours, theirs, files, tasks, calls, arrays, delays]: number[][] = [[], [], [], [], [], [], []]
  const statusShare: number[] = []
  for (let turn = 0; turn < ground.turns; turn++) {
    const campaign = await freshCampaign(ground, `load${turn}`)
    const file = join(ground.scratch, `load${turn}.ndjson`)
    const job = (at: number) => ({ id: `j${at}`, executable: '/bin/true', arguments: [`${at}`] })
    writeFileSync(file, Array.from({ length: jobs }, (_, at) => `${JSON.stringify(job(at))}\n`).join(''))
    await measure({ argv: floe(ground, campaign, ['add', file]) })
    await site.login.ask(`: >${CALLS}`)
    ground.tell(`turn ${turn + 1}: floe run --site frost`)
    const program = join(ground.programs, 'follow-site.js')
    const { stdout } = await measure({
      argv: [process.execPath, program, join(ground.root, 'dist', 'floe.js'), campaign, 'frost'],
      sampleMs: 1000,
    })
    const told = JSON.parse(stdout) as Followed
    if (told.succeeded !== jobs) throw new Error(`${told.succeeded} of ${jobs} jobs succeeded`)
    const asked = await callsOf(site)
    const [found] = await ended(campaign)
    ours!.push(told.wallSec)
    tasks!.push(found!.tasks)
    arrays!.push(found!.arrays)
    const { squeue = 0, ...others } = asked
    statusShare.push(squeue / (told.wallSec / INTERVAL_SEC))
    calls!.push(Object.values(others).reduce((sum, n) => sum + n, 0) / found!.arrays)
    delays!.push(median(await delaysOf(campaign, told)) / INTERVAL_SEC)
    files!.push(Number(await site.login.ask('find /scratch/alice/floe/campaigns -type f | wc -l')) / found!.tasks)
    ground.tell(
      `commands: ${JSON.stringify(asked)}; ${found!.tasks} tasks in ${found!.arrays} arrays; floe used ${told.cpuSec.toFixed(1)} s of CPU`,
    )
    await site.login.ask('rm -rf /scratch/alice/floe/campaigns')
    ground.tell(`turn ${turn + 1}: sbatch --array with xargs -P${CPUS} inside`)
    theirs!.push(await byHand(site, { jobs, tasks: found!.tasks }))
  }
  const none = { baseline: [], baselineName: null }
  ground.print({
    ...{ work, unit: 's', ours: ours!, baseline: theirs!, must: { of: 'ratio', most: 1.15 } },
    baselineName: `sbatch --array of as many tasks, xargs -P${CPUS} of a shell that makes the same`,
  })
  const besides = 'scheduler commands an array, status aside'
  ground.print({ work: `${work}: ${besides}`, unit: '×', ours: calls!, ...none, must: { of: 'value', most: 3 } })
  ground.print({
    ...{ work: `${work}: status commands an interval`, unit: '×', ours: statusShare, ...none },
    must: { of: 'value', most: 1.2 },
  })
  ground.print({
    ...{ work: `${work}: end of a task to verdict, intervals`, unit: '×', ours: delays!, ...none },
    must: { of: 'value', most: 2 },
  })
  ground.print({
    ...{ work: `${work}: files on scratch, a task`, unit: '×', ours: files!, ...none, must: { of: 'value', most: 4 } },
    note: `${median(tasks!)} tasks in ${median(arrays!)} arrays`,
  })
}

export async function callsOf(site: SlurmSite): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const name of (await site.login.ask(`cat ${CALLS}`)).split('\n').filter(Boolean))
    counts[name] = (counts[name] ?? 0) + 1
  return counts
}

const ended = (campaign: string) =>
  withTables(campaign, async (tables) => {
    await tables.view('attempts')
    return tables.sql.rows<{ tasks: number; arrays: number }>(
      `select count(distinct array_id || ' ' || task)::integer as tasks, count(distinct array_id)::integer as arrays from attempts`,
    )
  })

/** Seconds from the end of a task to when floe had as many verdicts as jobs had ended by then. */
async function delaysOf(campaign: string, { seen }: Followed): Promise<number[]> {
  const ends = await withTables(campaign, async (tables) => {
    await tables.view('attempts')
    return tables.sql.rows<{ ended_ms: number; nth: number }>(
      `with numbered as (select array_id, task, epoch_ms(ended_at) as ended_ms, row_number() over (order by ended_at) as nth from attempts)
       select max(ended_ms)::double as ended_ms, max(nth)::double as nth from numbered group by array_id, task`,
    )
  })
  return ends.map(({ ended_ms, nth }) => (seen.find(([, done]) => done >= nth)![0] - ended_ms) / 1000)
}

/** The same work as somebody would write it for one campaign: a directory and two files of logs a job. */
async function byHand(site: SlurmSite, { jobs, tasks }: { jobs: number; tasks: number }): Promise<number> {
  const each = Math.ceil(jobs / tasks)
  const script = `#!/bin/sh
from=$((SLURM_ARRAY_TASK_ID * ${each}))
to=$((from + ${each} - 1))
[ "$to" -lt ${jobs} ] || to=${jobs - 1}
lane=$(mktemp -d)
cd "$lane"
seq "$from" "$to" | xargs -P${CPUS} -n1 sh /scratch/alice/tiny.sh
rm -rf "$lane"
`
  const { login } = site
  await login.ask(
    `cat >base.sh <<'END'\n${script}END\ncat >tiny.sh <<'END'\nmkdir "$1" && cd "$1" && exec /bin/true "$1" >out 2>err\nEND
     cp base.sh tiny.sh /scratch/alice/`,
    'alice',
  )
  const started = performance.now()
  await login.ask(
    `/usr/bin/sbatch --parsable --array=0-${tasks - 1} --cpus-per-task=${CPUS} --output=/dev/null /scratch/alice/base.sh`,
    'alice',
  )
  const isOver = async () => (await login.ask('/usr/bin/squeue -h --me | wc -l', 'alice')) === '0'
  await until(isOver, { what: 'the array has ended', waitMs: 3_600_000, everyMs: 500 })
  return (performance.now() - started) / 1000
}

/** floe's own CPU while all that it does is to look. */
async function waiting(ground: Ground): Promise<void> {
  const campaign = await freshCampaign(ground, 'waiting')
  const file = join(ground.scratch, 'waiting.ndjson')
  writeFileSync(file, `${JSON.stringify({ id: 'sleeps', executable: '/bin/sleep', arguments: ['100'] })}\n`)
  await measure({ argv: floe(ground, campaign, ['add', file]) })
  const running = beside({ argv: floe(ground, campaign, ['run', '--site', 'frost']) })
  const pause = (sec: number) => new Promise((resolve) => setTimeout(resolve, sec * 1000))
  await pause(30)
  const before = cpuSecOf(running.pid)
  await pause(60)
  const share = (cpuSecOf(running.pid) - before) / 60
  await running.stop()
  ground.print({
    ...{ work: "floe's CPU while it waits, cores", unit: '×', ours: [share], baseline: [], baselineName: null },
    must: { of: 'value', most: 0.05 },
  })
}

function cpuSecOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
