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

/** A row of squeue or sacct: one task, or all tasks of a job that wait. */
interface Row {
  readonly job: FakeJob
  readonly tasks: readonly FakeTask[]
  readonly waits: boolean
}

const SBATCH = ['-p', '-A', '-J', '-t', '-o', '-e', '-n', '-N', '-c', '-a']
const SQUEUE = ['-o', '-j', '-n', '-t', '-u', '-O', '-p']
const SACCT = ['-j', '-o', '-S', '-E', '-u', '-s']

/** Slurm as far as floe speaks with it: 22.05, by what a real one printed. */
export class FakeSlurm extends FakeScheduler {
  readonly commands = ['sbatch', 'squeue', 'sacct', 'scancel', 'scontrol', 'sinfo', 'sacctmgr']
  readonly heeds = ['SLURM_', 'SBATCH_', 'SQUEUE_', 'SACCT_', 'SCANCEL_', 'SINFO_']
  /** Of its queue, as sinfo says it. */
  walltimeMax = 'infinite'
  readonly down = failed(1, 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)')

  answer(call: Call): Reply {
    if (call.env.SLURM_CLUSTERS)
      return failed(1, `${call.command}: error: '${call.env.SLURM_CLUSTERS}' can't be reached`)
    switch (call.command) {
      case 'sbatch':
        return this.#sbatch(call)
      case 'squeue':
        return this.#squeue(call)
      case 'sacct':
        return this.#sacct(call)
      case 'scancel':
        return this.#scancel(call)
      case 'scontrol':
        if (call.words[0] === 'update') return this.#update(call)
        return done(
          `Configuration data as of 2026-11-21T05:58:55\nAccountingStorageType   = ${this.noise.accounts ? 'accounting_storage/slurmdbd' : '(null)'}\nMaxArraySize            = ${this.arrayMax}\nMaxJobCount             = 10000\nMinJobAge               = 300 sec\nSchedulerParameters     = (null)\nSLURM_VERSION           = 22.05.8\n`,
        )
      case 'sinfo':
        return done(`main*|up|${this.walltimeMax}|16|4000|.\n`)
      default:
        return done(call.words.includes('qos') ? 'normal|||||\n' : 'ice||normal|normal|||\n')
    }
  }

  environment(job: FakeJob, task: FakeTask): Record<string, string> {
    const ids = { SLURM_JOB_ID: String(ownId(job, task)), SLURM_CPUS_PER_TASK: '1', SLURMD_NODENAME: task.node! }
    const gpus = Array.from({ length: job.gpus ?? 0 }, (_, gpu) => String(gpu)).join(',')
    if (gpus !== '') Object.assign(ids, { CUDA_VISIBLE_DEVICES: gpus })
    return job.isArray
      ? { ...ids, SLURM_ARRAY_JOB_ID: String(job.number), SLURM_ARRAY_TASK_ID: String(task.index) }
      : ids
  }

  #sbatch({ words, env, stdin, cwd }: Call): Reply {
    const { options } = readOptions(words, SBATCH)
    const refused = (...lines: string[]): Reply => failed(1, lines.map((line) => `sbatch: error: ${line}\n`).join(''))
    const queue = options.get('--partition') ?? options.get('-p') ?? env.SBATCH_PARTITION ?? 'main'
    const account = options.get('--account') ?? options.get('-A') ?? env.SBATCH_ACCOUNT ?? 'ice'
    if (queue !== 'main')
      return refused(
        `invalid partition specified: ${queue}`,
        'Batch job submission failed: Invalid partition name specified',
      )
    if (account !== 'ice')
      return refused('Batch job submission failed: Invalid account or account/partition combination specified')
    const array = options.get('--array') ?? options.get('-a')
    const indices = array === undefined ? [0] : indicesOf(array.replace(/%\d+$/, ''))
    if (indices.some((index) => index >= this.arrayMax))
      return refused('Batch job submission failed: Invalid job array specification')
    if (this.queued + indices.length > this.queuedMax)
      return refused(
        'QOSMaxSubmitJobPerUserLimit',
        "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
      )
    const avoid = options.get('--exclude')?.split(',') ?? []
    if (this.nodes.every((node) => avoid.includes(node)))
      return refused('Batch job submission failed: Requested node configuration is not available')
    const name = options.get('--job-name') ?? options.get('-J') ?? 'sbatch'
    const gpus = Number(/^gpu:(\d+)$/.exec(options.get('--gres') ?? '')?.[1] ?? 0)
    const job = this.add({ name, isArray: array !== undefined, indices, script: stdin, cwd, queue, gpus, avoid })
    if (this.noise.noNumber) return done('Your job is on its way!\n')
    return done(
      options.has('--parsable') || this.noise.bareNumber ? `${job.number}\n` : `Submitted batch job ${job.number}\n`,
    )
  }

  #update({ words }: Call): Reply {
    const value = (key: string) => words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1)
    const job = this.find(Number(value('JobId')))
    if (!job) return failed(1, 'slurm_update error: Invalid job id specified')
    job.avoid = value('ExcNodeList')?.split(',').filter(Boolean) ?? []
    this.pump()
    return done('')
  }

  #rows(jobs: readonly FakeJob[] = this.listed): Row[] {
    return jobs.flatMap((job) => {
      const waiting = job.tasks.filter(({ state }) => state === 'queued' || state === 'held')
      const others = job.tasks.filter(({ state }) => state === 'running' || state === 'ended')
      const group: Row[] = waiting.length > 0 ? [{ job, tasks: waiting, waits: true }] : []
      return [...group, ...others.map((task): Row => ({ job, tasks: [task], waits: false }))]
    })
  }

  #squeue({ words, env }: Call): Reply {
    const { options } = readOptions(words, SQUEUE)
    if (env.SQUEUE_PARTITION && !options.has('-p')) return done('')
    const ids = (options.get('-j') ?? options.get('--jobs'))?.split(',')
    if (ids?.some((id) => !/^\d+(_\d+)?$/.test(id))) return failed(1, `squeue: error: Invalid job id: ${ids.join(',')}`)
    if (ids?.length === 1 && !this.find(Number(ids[0])))
      return failed(1, 'slurm_load_jobs error: Invalid job id specified')
    const name = options.get('-n') ?? options.get('--name')
    const all = options.get('-t') === 'all' || options.get('--states') === 'all'
    const lines = this.#rows()
      .filter(({ job }) => ids === undefined || ids.includes(String(job.number)))
      .filter(({ job }) => name === undefined || job.name === name)
      .filter(({ tasks: [task] }) => task!.state !== 'ended' || (all && !this.noise.forgets))
      .map((row) => this.#format(options.get('-o') ?? env.SQUEUE_FORMAT ?? '%.18i %.9P %.8j %.8u %.2t', row, env))
    return done(lines.map((line) => `${line}\n`).join(''))
  }

  #format(form: string, row: Row, env: Call['env']): string {
    const { job, tasks, waits } = row
    const task = tasks[0]!
    let indices = rangesOf(tasks.map(({ index }) => index))
    if (env.SLURM_BITSTR_LEN === undefined && indices.length > 64) indices = `${indices.slice(0, 61)}...`
    const place = job.isArray ? (waits ? `[${indices}]` : String(task.index)) : 'N/A'
    const cells: Record<string, string> = {
      F: String(job.number),
      K: place,
      i: job.isArray ? `${job.number}_${place}` : String(job.number),
      A: String(ownId(job, task)),
      T: inLocale(this.noise.stateWord ?? wordOf(task), env),
      r: waits
        ? task.state === 'held'
          ? 'JobHeldUser'
          : (this.noise.reason ?? 'Resources')
        : task.state === 'ended'
          ? 'Resources'
          : 'None',
      j: job.name,
      P: job.queue,
      N: waits ? '' : task.node!,
    }
    return form.replace(/%\.?\d*([A-Za-z])/g, (_, letter: string) => cells[letter] ?? '')
  }

  #sacct({ words, env }: Call): Reply {
    if (!this.noise.accounts) return failed(1, 'Slurm accounting storage is disabled')
    const { options } = readOptions(words, SACCT)
    const fields = (options.get('--format') ?? options.get('-o') ?? 'JobID,JobName,State,ExitCode').split(',')
    const ids = (options.get('-j') ?? options.get('--jobs'))?.split(',')
    const name = options.get('--name')
    const tail = options.has('-p') || options.has('--parsable') ? '|' : ''
    const ofEnded = options.has('--state')
    // As the real one: without an end the states are those of the moment at the start.
    if (ofEnded && !options.has('-E')) return done('')
    // What the controller lost waits in the accounts for ever.
    const lines = this.#rows(this.noise.blind ? [] : this.jobs)
      .filter(({ job }) => ids === undefined || ids.includes(String(job.number)))
      .filter(({ job }) => name === undefined || job.name === name)
      .filter(({ tasks: [task] }) => !ofEnded || task!.state === 'ended')
      .map((row) => fields.map((field) => this.#cell(field, row, env)).join('|') + tail)
    return done(lines.map((line) => `${line}\n`).join(''))
  }

  #cell(field: string, row: Row, env: Call['env']): string {
    const task = row.tasks[0]!
    switch (field) {
      case 'JobID':
        return this.#format('%i', row, { SLURM_BITSTR_LEN: '0' })
      case 'JobIDRaw':
        return String(ownId(row.job, task))
      case 'JobName':
        return row.job.name
      case 'State':
        return inLocale(task.cancelled && task.state === 'ended' ? 'CANCELLED by 2000' : wordOf(task), env)
      case 'ExitCode':
        return `${task.exit ?? 0}:${task.signal ? 9 : 0}`
      case 'NodeList':
        return task.startedAt === null ? 'None assigned' : task.node!
      case 'Start':
        return timeOf(task.startedAt)
      case 'End':
        return timeOf(task.endedAt)
      default:
        return ''
    }
  }

  #scancel({ words }: Call): Reply {
    const { names } = readOptions(words, ['-s', '-u'])
    let error = ''
    for (const name of names) {
      const [, number, single, list] = /^(\d+)(?:_(?:(\d+)|\[(.*)\]))?$/.exec(name) ?? []
      const job = this.find(Number(number))
      if (!job) {
        error += `scancel: error: ${number === undefined ? `Invalid job id ${name}` : `Kill job error on job id ${name}: Invalid job id specified`}\n`
        continue
      }
      const indices = single === undefined ? (list === undefined ? undefined : indicesOf(list)) : [Number(single)]
      for (const task of job.tasks) if (indices === undefined || indices.includes(task.index)) this.cancel(task)
    }
    return error === '' ? done('') : failed(1, error)
  }
}

/** Tasks get ids of their own; that of the last task is that of the array. */
const ownId = (job: FakeJob, task: FakeTask): number => (job.isArray ? job.number * 1000 + task.index : job.number)

function wordOf(task: FakeTask): string {
  if (task.word !== null) return task.word
  if (task.state !== 'ended') return task.state === 'running' ? 'RUNNING' : 'PENDING'
  if (task.cancelled) return 'CANCELLED'
  return task.exit === 0 ? 'COMPLETED' : 'FAILED'
}

const inLocale = (word: string, { LC_ALL }: Call['env']): string => (LC_ALL === 'C' ? word : `${word} (übersetzt)`)

const timeOf = (ms: number | null): string => (ms === null ? 'Unknown' : new Date(ms).toISOString().slice(0, 19))
