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

const HOST = 'pbshost'
const QSUB = ['-N', '-J', '-S', '-j', '-o', '-e', '-m', '-l', '-q', '-A', '-P', '-v']

type Attributes = Record<string, unknown>

/** OpenPBS as far as floe speaks with it, by what a real one printed. `noise.accounts` is its job history. */
export class FakePbs extends FakeScheduler {
  readonly commands = ['qsub', 'qstat', 'qselect', 'qdel', 'qmgr']
  readonly heeds = ['PBS_', 'QSTAT_', 'QSUB_']
  readonly down = failed(255, 'Connection refused\nqstat: cannot connect to server pbshost (errno=15010)')

  override idOf(job: Pick<FakeJob, 'number' | 'isArray'>): string {
    return idOf(job)
  }

  answer(call: Call): Reply {
    switch (call.command) {
      case 'qsub':
        return this.#qsub(call)
      case 'qstat':
        return call.words[0]?.startsWith('-B')
          ? done(this.#server())
          : call.words[0]?.startsWith('-Q')
            ? done(QUEUES)
            : this.#qstat(call)
      case 'qselect':
        return this.#qselect(call)
      case 'qdel':
        return this.#qdel(call)
      default:
        return done('')
    }
  }

  environment(job: FakeJob, task: FakeTask): Record<string, string> {
    return job.isArray
      ? { PBS_JOBID: memberId(job, task), PBS_ARRAY_ID: idOf(job), PBS_ARRAY_INDEX: String(task.index) }
      : { PBS_JOBID: idOf(job) }
  }

  #qsub({ words, stdin, cwd, env }: Call): Reply {
    const { options } = readOptions(words, QSUB)
    const queue = options.get('-q') ?? env.PBS_O_QUEUE ?? 'workq'
    if (queue !== 'workq') return failed(170, 'qsub: Unknown queue\n')
    if ((options.get('-A') ?? 'ice') !== 'ice') return failed(21, 'qsub: Invalid Account\n')
    const name = options.get('-N') ?? 'STDIN'
    if (!/^[A-Za-z][A-Za-z0-9._+-]*$/.test(name)) return failed(2, 'qsub: illegal -N value\n')
    const range = options.get('-J')
    const [first, last] = (range ?? '').split('-').map(Number)
    if (range !== undefined && !(last! > first!)) return failed(2, 'qsub: illegal -J value\n')
    const indices = range === undefined ? [0] : indicesOf(range)
    if (indices.length > this.arrayMax) return failed(3, 'qsub: Array job exceeds server or queue size limit\n')
    if (this.queued + indices.length > this.queuedMax)
      return failed(38, "qsub: would exceed complex's per-user limit\n")
    const job = this.add({ name, isArray: range !== undefined, indices, script: stdin, cwd, queue })
    if (this.noise.noNumber) return done('Your job is on its way!\n')
    return done(this.noise.bareNumber ? `${job.number}\n` : `${idOf(job)}\n`)
  }

  #isOver(job: FakeJob): boolean {
    return job.tasks.every(({ state }) => state === 'ended')
  }

  #qstat({ words }: Call): Reply {
    const { options, names } = readOptions(words, [])
    const withHistory = options.has('-x')
    if (withHistory && !this.noise.accounts)
      return done2('', names.map((id) => `qstat: PBS is not configured to maintain job history ${id}\n`).join(''), 0)
    let stderr = ''
    let exit = 0
    const jobs: Record<string, Attributes> = {}
    for (const id of names) {
      const job = this.listed.find((one) => idOf(one) === id)
      if (!job || (this.#isOver(job) && (!this.noise.accounts || this.noise.forgets))) {
        stderr += `qstat: Unknown Job Id ${id}\n`
        exit = 153
      } else if (this.#isOver(job) && !withHistory) {
        stderr += `qstat: ${id} Job has finished, use -x or -H to obtain historical job information\n`
        exit = 35
      } else Object.assign(jobs, this.#attributes(job))
    }
    return done2(textOf(jobs), stderr, exit)
  }

  #attributes(job: FakeJob): Record<string, Attributes> {
    const isOver = this.#isOver(job)
    const common = { Job_Name: job.name, Job_Owner: `alice@${HOST}`, queue: job.queue, server: HOST }
    const tasks = job.tasks.map((task): [string, Attributes] => [
      job.isArray ? memberId(job, task) : idOf(job),
      {
        ...common,
        job_state: this.noise.stateWord ?? letterOf(task, isOver || !job.isArray),
        substate: task.cancelled ? 91 : task.state === 'ended' ? 92 : 42,
        Hold_Types: task.state === 'held' ? 'u' : 'n',
        Variable_List: { PBS_O_HOME: '/home/alice', PBS_O_LANG: 'C.UTF-8' },
        ...(task.startedAt === null
          ? {}
          : {
              stime: timeOf(task.startedAt),
              exec_host: `${HOST}/0`,
              comment: 'Job run at Sat Nov 21 at 00:06 on (pbshost:ncpus=1)',
            }),
        ...(task.startedAt !== null && job.isArray ? { array_id: idOf(job), array_index: task.index } : {}),
        ...(task.endedAt === null || task.startedAt === null
          ? {}
          : { obittime: timeOf(task.endedAt), Exit_status: task.cancelled ? 271 : (task.exit ?? 128 + 9) }),
      },
    ])
    if (!job.isArray) return Object.fromEntries(tasks)
    const left = job.tasks.filter(({ state }) => state === 'queued' || state === 'held')
    const begun = job.tasks.some(({ startedAt }) => startedAt !== null)
    const parent = {
      ...common,
      job_state: isOver ? 'F' : begun ? 'B' : 'Q',
      substate: job.tasks.every(({ cancelled }) => cancelled) ? 91 : 70,
      array: 'True',
      array_indices_submitted: rangesOf(job.tasks.map(({ index }) => index)),
      array_indices_remaining: rangesOf(left.map(({ index }) => index)) || '-',
    }
    return { [idOf(job)]: parent, ...Object.fromEntries(tasks) }
  }

  #qselect({ words }: Call): Reply {
    const { options } = readOptions(words, ['-N', '-s', '-u'])
    if (options.has('-x') && !this.noise.accounts)
      return done2('', 'qselect: PBS is not configured to maintain job history \n', 0)
    const found = this.listed
      .filter(({ name }) => name === options.get('-N'))
      .filter((job) => !this.#isOver(job) || (options.has('-x') && !this.noise.forgets))
    return done(found.map((job) => `${idOf(job)}\n`).join(''))
  }

  #qdel({ words }: Call): Reply {
    let stderr = ''
    let exit = 0
    const parts = new Map<string, number>()
    for (const id of readOptions(words, ['-W']).names) {
      const [, number, , list] = /^(\d+)(\[([\d-]*)\])?\./.exec(id) ?? []
      parts.set(number!, (parts.get(number!) ?? 0) + 1)
      // As qdel of cd7ab5e does: it takes ids twice out of its list, and more with them.
      if (parts.get(number!)! > 2) continue
      const job = this.find(Number(number))
      if (!job || (this.#isOver(job) && !this.noise.accounts)) {
        stderr += `qdel: Unknown Job Id ${id}\n`
        exit = 153
        continue
      }
      const tasks = list ? job.tasks.filter(({ index }) => indicesOf(list).includes(index)) : job.tasks
      if (tasks.every(({ state }) => state === 'ended')) {
        stderr += `qdel: Job has finished ${id}\n`
        exit = 35
      }
      for (const task of tasks) this.cancel(task)
    }
    return done2('', stderr, exit)
  }

  #server(): string {
    const limit = Number.isFinite(this.queuedMax) ? `    max_queued = [u:PBS_GENERIC=${this.queuedMax}]\n` : ''
    return `Server: ${HOST}\n    server_state = Active\n    default_queue = workq\n    max_array_size = ${this.arrayMax}\n${limit}    pbs_version = 23.06.06\n    job_history_enable = ${this.noise.accounts ? 'True' : 'False'}\n\n`
  }
}

const QUEUES = `Queue: workq
    queue_type = Execution
    total_jobs = 1
    resources_max.walltime = 48:00:00
    enabled = True
    started = True

`

const done2 = (stdout: string, stderr: string, exit: number): Reply => ({ exit, stdout, stderr })
const idOf = ({ number, isArray }: Pick<FakeJob, 'number' | 'isArray'>): string =>
  `${number}${isArray ? '[]' : ''}.${HOST}`
const memberId = ({ number }: FakeJob, { index }: FakeTask): string => `${number}[${index}].${HOST}`

function letterOf({ state }: FakeTask, isOver: boolean): string {
  const letters = { queued: 'Q', held: 'H', running: 'R', ended: isOver ? 'F' : 'X' }
  return letters[state]
}

/** `Sat Nov 21 00:05:26 2026`. */
function timeOf(ms: number): string {
  const [, day, date, month, year, clock] = /^(\w+), (\d+) (\w+) (\d+) (\S+)/.exec(new Date(ms).toUTCString()) ?? []
  return `${day} ${month} ${date} ${clock} ${year}`
}

function textOf(jobs: Record<string, Attributes>): string {
  const linesOf = (attributes: Attributes, prefix = ''): string[] =>
    Object.entries(attributes).flatMap(([key, value]) => {
      if (typeof value !== 'object' || value === null) return [`    ${prefix}${key} = ${value}`]
      if (key !== 'Variable_List') return linesOf(value as Attributes, `${key}.`)
      const pairs = Object.entries(value).map(([name, one]) => `${name}=${one}`)
      return [`    ${key} = ${pairs.join(',\n\t')}`]
    })
  return Object.entries(jobs)
    .map(([id, attributes]) => `Job Id: ${id}\n${linesOf(attributes).join('\n')}\n\n`)
    .join('')
}
