import {
  type Call,
  done,
  type FakeJob,
  FakeScheduler,
  type FakeTask,
  failed,
  indicesOf,
  type Reply,
  rangesOf,
  readOptions,
} from './fake-scheduler.ts'

const QSUB = ['-N', '-t', '-S', '-wd', '-j', '-o', '-e', '-r', '-m', '-l', '-q', '-P', '-A', '-pe', '-tc', '-v']

/** Grid Engine 8.1.9 as far as floe speaks with it. Tasks that have ended are in the accounts, and nowhere else. */
export class FakeSge extends FakeScheduler {
  readonly commands = ['qsub', 'qstat', 'qacct', 'qdel', 'qconf']
  readonly heeds = ['SGE_', 'QSUB_']
  readonly down = failed(1, 'error: commlib error: got select error (Connection refused)')

  /** Jobs of a user, an array being one; 0: no limit. */
  jobsMax = 0

  answer(call: Call): Reply {
    switch (call.command) {
      case 'qsub':
        return this.#qsub(call)
      case 'qstat':
        return done(this.#xml())
      case 'qacct':
        return this.#qacct(call)
      case 'qdel':
        return this.#qdel(call)
      default:
        return this.#qconf(call)
    }
  }

  environment(job: FakeJob, task: FakeTask): Record<string, string> {
    return { JOB_ID: String(job.number), SGE_TASK_ID: job.isArray ? String(task.index + 1) : 'undefined' }
  }

  #qsub({ words, stdin, cwd }: Call): Reply {
    // Its parallel environments have a name and a number.
    const at = words.indexOf('-pe')
    const { options } = readOptions(at < 0 ? words : [...words.slice(0, at), ...words.slice(at + 3)], QSUB)
    const refused = (why: string, exit = 1): Reply => failed(exit, `Unable to run job: ${why}\nExiting.\n`)
    const queue = options.get('-q') ?? 'main.q'
    if (queue !== 'main.q') return refused(`Job was rejected because job requests unknown queue "${queue}".`)
    const project = options.get('-P') ?? 'ice'
    if (project !== 'ice') return refused(`job rejected: the project "${project}" does not exist.`)
    const range = options.get('-t')
    const indices = range === undefined ? [0] : indicesOf(range).map((task) => task - 1)
    if (indices.length > this.arrayMax)
      return refused(`job rejected: the job specifies more than ${this.arrayMax} tasks which is not allowed.`)
    if (this.queued + indices.length > this.queuedMax)
      return refused('job rejected: Only 10 jobs are allowed per user (current job count: 10).', 25)
    const open = this.known.filter(({ tasks }) => tasks.some(({ state }) => state !== 'ended')).length
    if (this.jobsMax > 0 && open >= this.jobsMax)
      return refused(`job rejected: only ${this.jobsMax} jobs are allowed per user (current job count: ${open})`, 25)
    const name = options.get('-N') ?? 'STDIN'
    const job = this.add({ name, isArray: range !== undefined, indices, script: stdin, cwd, queue })
    if (this.noise.noNumber) return done('Your job is on its way!\n')
    const tail = job.isArray && !this.noise.bareNumber ? `.1-${indices.length}:1` : ''
    return done(`${job.number}${tail}\n`)
  }

  #xml(): string {
    const lists = (tag: string, jobs: string): string => `  <${tag}>\n${jobs}  </${tag}>\n`
    const row = (job: FakeJob, state: string, tasks: string): string =>
      [
        `    <job_list state="${/[qh]/.test(state) ? 'pending' : 'running'}">`,
        `      <JB_job_number>${job.number}</JB_job_number>`,
        '      <JAT_prio>0.55500</JAT_prio>',
        `      <JB_name>${job.name}</JB_name>`,
        '      <JB_owner>alice</JB_owner>',
        `      <state>${this.noise.stateWord ?? state}</state>`,
        '      <slots>1</slots>',
        ...(job.isArray ? [`      <tasks>${tasks}</tasks>`] : []),
        '    </job_list>\n',
      ].join('\n')
    let running = ''
    let pending = ''
    for (const job of this.listed) {
      for (const task of job.tasks)
        if (task.state === 'running') running += row(job, task.cancelled ? 'dr' : 'r', String(task.index + 1))
      for (const [state, word] of [
        ['queued', 'qw'],
        ['held', 'hqw'],
      ] as const) {
        const waiting = job.tasks.filter((task) => task.state === state).map(({ index }) => index + 1)
        const ranges = rangesOf(waiting).replace(/\d+-\d+/g, '$&:1')
        if (waiting.length > 0) pending += row(job, word, ranges)
      }
    }
    const head = '<?xml version=\'1.0\'?>\n<job_info  xmlns:xsd="http://www.w3.org/2001/XMLSchema">\n'
    return `${head}${lists('queue_info', running)}${lists('job_info', pending)}</job_info>\n`
  }

  #qacct({ words }: Call): Reply {
    if (!this.noise.accounts) return failed(1, 'no jobs running since startup\n')
    const wanted = readOptions(words, ['-o', '-j', '-t']).options.get('-j') ?? ''
    const jobs = this.listed.filter(({ number, name }) => String(number) === wanted || name === wanted)
    const records = jobs.flatMap((job) =>
      job.tasks
        .filter(({ state, startedAt }) => state === 'ended' && startedAt !== null)
        .map((task) => recordOf(job, task)),
    )
    if (records.length > 0) return done(records.join(''))
    return failed(1, `error: job ${/^\d+$/.test(wanted) ? 'id' : 'name'} ${wanted} not found\n`)
  }

  #qdel({ words }: Call): Reply {
    let stdout = ''
    let exit = 0
    for (const word of readOptions(words, []).names) {
      const [, number, range] = /^(\d+)(?:\.([\d-]+))?$/.exec(word) ?? []
      const job = this.find(Number(number))
      const indices = range === undefined ? undefined : indicesOf(range).map((task) => task - 1)
      const tasks =
        job?.tasks.filter(({ index, state }) => state !== 'ended' && (indices?.includes(index) ?? true)) ?? []
      if (tasks.length === 0) {
        stdout += `denied: job "${number}" does not exist\n`
        exit = 1
      } else stdout += `alice has registered the job ${number} for deletion\n`
      for (const task of tasks) this.cancel(task)
    }
    return { exit, stdout, stderr: '' }
  }

  #qconf({ words }: Call): Reply {
    switch (words[0]) {
      case '-sconf':
        return done(
          `#global:\nmax_aj_instances             2000\nmax_aj_tasks                 ${this.arrayMax}\nmax_u_jobs                   ${this.jobsMax}\nreporting_params             accounting=true reporting=false \\\n                             flush_time=00:00:15\n`,
        )
      case '-help':
        return done('SGE 8.1.9\nusage: qconf [options]\n')
      case '-sql':
        return done('main.q\n')
      case '-sq':
        return done('qname                 main.q\nslots                 16,[c1=8]\nh_rt                  48:00:00\n')
      default:
        return done('smp\n')
    }
  }
}

function recordOf(job: FakeJob, task: FakeTask): string {
  const fields = {
    qname: job.queue,
    hostname: task.node ?? 'c1',
    owner: 'alice',
    jobname: job.name,
    jobnumber: job.number,
    taskid: job.isArray ? task.index + 1 : 'undefined',
    start_time: timeOf(task.startedAt),
    end_time: timeOf(task.endedAt),
    failed: task.signal === null ? 0 : '100 : assumedly after job',
    deleted_by: task.cancelled ? 'alice@login' : 'NONE',
    exit_status: task.exit ?? 137,
    ru_wallclock: ((task.endedAt! - task.startedAt!) / 1000).toFixed(3),
    maxvmem: '1.000M',
  }
  const lines = Object.entries(fields).map(([key, value]) => `${key.padEnd(12)} ${value}`)
  return `==============================================================\n${lines.join('\n')}\n`
}

/** `11/21/2026 05:58:55.123`. */
function timeOf(ms: number | null): string {
  const [, year, month, day, clock] = /^(\d+)-(\d+)-(\d+)T(.*)Z$/.exec(new Date(ms ?? 0).toISOString()) ?? []
  return `${month}/${day}/${year} ${clock}`
}
