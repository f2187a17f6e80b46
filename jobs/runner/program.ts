import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'

const FRESH_MS = 1000

export type Program = { readonly path: string } | { readonly problem: string }

/** Where programs are. Bare names are looked up on PATH here and told to the shell as paths: `test` or `exit` would be its own words. */
export class ProgramLook {
  readonly #seen = new Map<string, { at: number; program: Program }>()

  find(name: string, path: string, now: number): Program {
    const key = `${name}\0${path}`
    const known = this.#seen.get(key)
    if (known && now - known.at < FRESH_MS) return known.program
    const program = look(name, path)
    this.#seen.set(key, { at: now, program })
    return program
  }
}

function look(name: string, path: string): Program {
  if (name.includes('/')) {
    if (!existsSync(name)) return { problem: `program ${name} is not there` }
    return mayRun(name)
      ? { path: name }
      : { problem: `program ${name} ${isFile(name) ? 'has no run bit' : 'is no file'}` }
  }
  const places = path.split(':').map((folder) => join(folder || '.', name))
  const found = places.find((place) => place.startsWith('/') && mayRun(place))
  if (found !== undefined) return { path: found }
  const blocked = places.find((place) => isFile(place))
  return { problem: blocked ? `program ${blocked} has no run bit` : `program ${name} is not on PATH (${path})` }
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function mayRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return isFile(path)
  } catch {
    return false
  }
}

/**
 * Why a program that ended with 126 or 127 was never started; `undefined`: it was, and the exit is its own. Shells end with these when
 * exec fails, and so may a program; the file decides.
 */
export function launchProblem(program: string, path: string): string | undefined {
  const head = headOf(program)
  if (head === undefined) return `program ${program} is not there any more`
  if (head.length === 0) return undefined
  if (head.subarray(0, 4).toString('latin1') === '\x7fELF') return elfProblem(program, head)
  if (head.subarray(0, 2).toString('latin1') !== '#!') return undefined
  const line = head.toString('utf8', 2, lineEnd(head))
  if (line.endsWith('\r')) return `the first line of ${program} ends in a carriage return (Windows line ends)`
  const [interpreter = '', argument] = line.trim().split(/\s+/)
  if (!existsSync(interpreter)) return `program ${program} asks for the interpreter ${interpreter}, which is not there`
  if (!mayRun(interpreter)) return `program ${program} asks for the interpreter ${interpreter}, which may not be run`
  if (basename(interpreter) !== 'env' || argument === undefined || argument.startsWith('-')) return undefined
  const found = look(argument, path)
  return 'problem' in found ? `program ${program} asks for ${argument}, which is not on PATH` : undefined
}

const lineEnd = (head: Buffer): number => (head.indexOf(10) < 0 ? head.length : head.indexOf(10))

/** Machine numbers of ELF by Node's name of the architecture. */
const MACHINES: Readonly<Record<string, number>> = {
  x64: 62,
  arm64: 183,
  ia32: 3,
  arm: 40,
  ppc64: 21,
  s390x: 22,
  riscv64: 243,
}

function elfProblem(program: string, head: Buffer): string | undefined {
  const machine = head.length < 20 ? undefined : head[5] === 2 ? head.readUInt16BE(18) : head.readUInt16LE(18)
  const own = MACHINES[process.arch]
  if (machine === undefined || own === undefined || machine === own || (own === 62 && machine === 3)) return undefined
  return `program ${program} is made for another kind of processor (ELF machine ${machine}, here ${own})`
}

function headOf(path: string): Buffer | undefined {
  try {
    const fd = openSync(path, 'r')
    try {
      const head = Buffer.alloc(512)
      return head.subarray(0, readSync(fd, head, 0, head.length, 0))
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : Buffer.alloc(0)
  }
}
