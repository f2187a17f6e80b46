import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** Without /proc (macOS, BSD) only process groups can be killed, and nothing is sampled. */
export const hasProc = existsSync('/proc/self/stat')

export interface ProcessStat {
  readonly pid: number
  /** Of its program, 15 bytes at most. */
  readonly name: string
  readonly parent: number
  readonly session: number
  /** Clock ticks since boot; with the pid it names a process. */
  readonly start: number
  /** Clock ticks of CPU of children that ended and were waited for. */
  readonly childTicks: number
  readonly isZombie: boolean
}

export function readStat(pid: number): ProcessStat | undefined {
  const text = read(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  // The name in parentheses may contain anything, blanks and parentheses too.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return {
    pid,
    name: text.slice(text.indexOf('(') + 1, text.lastIndexOf(')')),
    isZombie: fields[0] === 'Z' || fields[0] === 'X',
    parent: Number(fields[1]),
    session: Number(fields[3]),
    childTicks: Number(fields[13]) + Number(fields[14]),
    start: Number(fields[19]),
  }
}

/** What marks the processes of a slot's jobs: their session, and variables in their environment that survive `setsid`. */
export interface SlotMarks {
  readonly shell: number
  /** Start of the shell: no process of its jobs is older. */
  readonly since: number
  /** `NAME=value`, unique to this slot. */
  readonly token: string
}

export interface JobProcess {
  readonly pid: number
  readonly start: number
  /** It shows an image to the job, and ends with it. Told to end before it, it takes away the programs that the job would tidy up with. */
  readonly showsImage: boolean
  /** FLOE_JOB in its environment, or of the nearest ancestor that has it; undefined: cleared. */
  readonly job: string | undefined
}

/**
 * All processes of a slot's jobs, also those that left its session. Costs a listing of the machine's processes, and a look at each that
 * `others` does not know: in it are the pids of the last look that are not the slot's.
 */
export function slotProcesses({ shell, since, token }: SlotMarks, others?: Set<number>): JobProcess[] {
  const all = new Map<number, ProcessStat>()
  const jobOf = new Map<number, string | undefined>()
  const found: ProcessStat[] = []
  const pids = new Set(readdirSync('/proc').map(Number).filter(Number.isInteger))
  // A pid that was free in between may be anybody's.
  for (const pid of others ?? []) if (!pids.has(pid)) others!.delete(pid)
  for (const pid of pids) {
    if (pid === shell || others?.has(pid)) continue
    const stat = readStat(pid)
    if (stat === undefined || stat.isZombie) continue
    all.set(pid, stat)
    const environment = stat.start < since ? '' : `\0${read(`/proc/${pid}/environ`) ?? ''}`
    const isMarked = environment.includes(`\0${token}\0`)
    if (isMarked || (stat.session === shell && stat.start >= since)) found.push(stat)
    else others?.add(pid)
    if (isMarked) jobOf.set(pid, /\0FLOE_JOB=([^\0]*)/.exec(environment)?.[1])
  }
  return found.map(({ pid, start, name }) => ({
    ...{ pid, start, job: inherited(pid) },
    showsImage: /^(squashfuse|fuse2fs|fuse-overlayfs|gocryptfs)/.test(name),
  }))

  function inherited(pid: number): string | undefined {
    for (let at = pid, steps = 0; steps < 100; steps++) {
      const job = jobOf.get(at)
      if (job !== undefined) return job
      const parent = all.get(at)?.parent
      if (parent === undefined) return undefined
      at = parent
    }
    return undefined
  }
}

/**
 * Resident memory of the descendants of a process and of `others`, bytes, and the largest peak of a single one. Pages that processes share
 * count in each. Costs a few reads a process.
 */
export function memoryOf(root: number, others: readonly number[]): { now: number; peak: number } {
  let now = 0
  let peak = 0
  const seen = new Set<number>([root])
  const open = [...childrenOf(root), ...others]
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    if (seen.has(pid)) continue
    seen.add(pid)
    const status = read(`/proc/${pid}/status`)
    if (status === undefined) continue
    now += kilobytes(status, 'VmRSS')
    peak = Math.max(peak, kilobytes(status, 'VmHWM'))
    open.push(...childrenOf(pid))
  }
  return { now, peak: Math.max(peak, now) }
}

const kilobytes = (status: string, name: string): number => {
  const at = status.indexOf(`\n${name}:`)
  return at < 0 ? 0 : Number.parseInt(status.slice(at + name.length + 2), 10) * 1024
}

/** Children by all threads of a process; kernels without CONFIG_PROC_CHILDREN give none. */
function childrenOf(pid: number): number[] {
  let threads: string[]
  try {
    threads = readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
  return threads.flatMap((thread) => {
    const text = read(`/proc/${pid}/task/${thread}/children`)?.trim()
    return text ? text.split(' ').map(Number) : []
  })
}

/** Sends a signal to a process if it is still the one that was seen. */
export function signalProcess({ pid, start }: { pid: number; start: number }, signal: NodeJS.Signals): void {
  if (readStat(pid)?.start !== start) return
  try {
    process.kill(pid, signal)
  } catch {
    // It ended in between.
  }
}

/** How often the kernel killed for lack of memory since boot; undefined: it does not tell. */
export function kernelMemoryKills(): number | undefined {
  const count = /^oom_kill (\d+)$/m.exec(read('/proc/vmstat') ?? '')?.[1]
  return count === undefined ? undefined : Number(count)
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
