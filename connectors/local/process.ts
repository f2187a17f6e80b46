import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** A process that cannot be mistaken for a later one of the same pid. `start` is empty where there is no /proc. */
export interface ProcessName {
  readonly pid: number
  /** Where the pid means it; nothing is told of it from another one. */
  readonly machine: string
  /** Boot and clock ticks since it. */
  readonly start: string
}

const hasProc = existsSync('/proc/self/stat')
const boot = read('/proc/sys/kernel/random/boot_id')?.slice(0, 8) ?? ''

/** Of the first namespace of pids, which every container but those of the host's own leaves (PROC_PID_INIT_INO). */
const HOST_PIDS = 'pid:[4026531836]'

/**
 * This machine, or this container: machines of one image have one machine-id, containers of one image often one host name too. It outlives
 * a boot, and the restart of a container whose engine tells its layer: after that all that ran is known to be gone.
 */
export const thisMachine = machineOf(
  hostname(),
  read('/etc/machine-id') ?? '',
  pidNamespace(),
  layerOf(read('/proc/self/mountinfo') ?? '', boot),
)

export function machineOf(host: string, id: string, namespace: string, layer?: string): string {
  // A laptop changes its domain with the network.
  const name = host.split('.')[0]!
  const inside = namespace === HOST_PIDS ? '' : (layer ?? namespace)
  const digest = createHash('sha256').update(`${name}\n${id.trim()}\n${inside}`).digest('hex')
  return `${name} (${digest.slice(0, 12)})`
}

/**
 * What this container writes to its root, as its engine names it with overlay: no other one that lives has it. Undefined: none, or one whose
 * name may come again. containerd counts its layers, and another machine may be at the same number: that holds for one boot.
 */
export function layerOf(mounts: string, boot: string): string | undefined {
  // 612 475 0:52 / / rw,relatime - overlay overlay rw,lowerdir=…,upperdir=/var/lib/docker/overlay2/<64 hex digits>/diff,workdir=…
  const root = mounts.split('\n').findLast((line) => line.split(' ')[4] === '/')
  const upper = /[ ,]upperdir=([^ ,]*)/.exec(root ?? '')?.[1] ?? ''
  const count = /\/io\.containerd\.[^/]*\/snapshots\/(\d+)\/fs$/.exec(upper)?.[1]
  return /\/([0-9a-f]{64})\/diff$/.exec(upper)?.[1] ?? (count && `${count} ${boot}`)
}

/** Undefined: there is none, or it has ended and only waits to be asked for its exit. */
export function nameProcess(pid: number): ProcessName | undefined {
  const seen = lookAt(pid)
  return seen?.isEnded ? undefined : seen?.name
}

/** Names a child that was just spawned, even when it has ended already. */
export const nameChild = (pid: number): ProcessName | undefined => lookAt(pid)?.name

function lookAt(pid: number): { name: ProcessName; isEnded: boolean } | undefined {
  if (!hasProc) return isSignalled(pid) ? { name: { pid, machine: thisMachine, start: '' }, isEnded: false } : undefined
  const text = read(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  // The program's name in parentheses may contain blanks and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return {
    name: { pid, machine: thisMachine, start: `${boot}:${fields[19]}` },
    isEnded: fields[0] === 'Z' || fields[0] === 'X',
  }
}

export const isElsewhere = ({ machine }: Pick<ProcessName, 'machine'>): boolean => machine !== thisMachine

/** Of this machine's. */
export const isAlive = (name: ProcessName): boolean => nameProcess(name.pid)?.start === name.start

export function signal(name: ProcessName, word: NodeJS.Signals): void {
  if (!isAlive(name)) return
  try {
    process.kill(name.pid, word)
  } catch {
    // It ended in between.
  }
}

/** The process of a pid if it has `variable` in its environment; without /proc, if it lives. */
export function processWith(pid: number, variable: string): ProcessName | undefined {
  if (!hasProc) return nameProcess(pid)
  return `\0${read(`/proc/${pid}/environ`) ?? ''}`.includes(`\0${variable}\0`) ? nameProcess(pid) : undefined
}

/** Processes with `variable` (NAME=value) in their environment: what a runner started, wherever it went. One look at each process of this user. */
export function processesWith(variable: string): ProcessName[] {
  if (!hasProc) return []
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
    .map((pid) => processWith(pid, variable))
    .filter((name) => name !== undefined)
}

function isSignalled(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return HOST_PIDS
  }
}
