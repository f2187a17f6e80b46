import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import { hashContent } from './look-up.ts'
import type { StagedFile, StagedProgram } from './manifest-rows.ts'
import { isHdfs } from './site-path.ts'

/** A program with its helper files, by content. */
export interface ProgramBundle {
  readonly executable: string
  readonly program: StagedFile
  readonly files: readonly { readonly name: string; readonly file: StagedFile }[]
}

/**
 * Puts a pinned program and its helper files into one read-only folder of the site's cache, so that `import lib` and `. ./lib.sh` beside
 * the program work, and a later change of the user's copy does not reach running jobs. Once per content.
 */
export function stageProgram(cache: string, { executable, program, files }: ProgramBundle): StagedProgram {
  const key = createHash('sha256')
    .update(JSON.stringify([program.digest, files.map(({ name, file }) => [name, file.digest])]))
    .digest('hex')
  const folder = join(cache, key)
  const staged = { program: join(folder, nameOfProgram(executable)), digest: program.digest }
  if (existsSync(folder)) return staged
  const aside = join(cache, `.${key}.${process.pid}`)
  rmSync(aside, { recursive: true, force: true })
  mkdirSync(aside, { recursive: true, mode: 0o700 })
  for (const { name: fileName, file } of files) {
    const target = join(aside, fileName)
    mkdirSync(dirname(target), { recursive: true })
    copyFileSync(file.path, target)
    chmodSync(target, 0o500)
  }
  const target = join(aside, basename(staged.program))
  copyFileSync(program.path, target)
  chmodSync(target, 0o500)
  if (program.digest.startsWith('sha256:') && hashContent(target) !== program.digest) {
    rmSync(aside, { recursive: true, force: true })
    throw new FloeError('STAGE_FAILED', `The program ${executable} changed while it was being staged.`, {
      hint: 'Run again when the file is at rest.',
    })
  }
  try {
    renameSync(aside, folder)
  } catch (cause) {
    rmSync(aside, { recursive: true, force: true })
    // Another campaign of this user staged the same content first.
    if (!existsSync(folder)) throw cause
  }
  return staged
}

/** HDFS takes a `%` for one. */
const nameOfProgram = (executable: string): string =>
  isHdfs(executable) ? basename(executable) : decodeURIComponent(basename(new URL(executable, 'file:///').pathname))

/** Looks for a program where jobs will run, after `setup`: an absolute path, or a name on PATH. Undefined: found; else what sh said. */
export type ProbeProgram = (program: string, setup: string | null) => Promise<string | undefined>

/** Throws EXECUTABLE_INVALID when a pinned program has no run bit, or names an interpreter that is not there. */
export async function checkPinned(executable: string, path: string, probe: ProbeProgram): Promise<void> {
  const wrong = (message: string, hint: string): never => {
    throw new FloeError('EXECUTABLE_INVALID', message, { hint, details: { executable } })
  }
  try {
    accessSync(path, constants.X_OK)
  } catch {
    if (!existsSync(path))
      wrong(
        `The program ${executable} is not there.`,
        'Put it there, or correct `executable:` and add the job file again.',
      )
    wrong(`The program ${executable} has no run bit.`, `chmod +x ${quoteForHint(path)}`)
  }
  const interpreter = shebang(path)
  if (interpreter === undefined) return
  const [program, argument, end] = interpreter
  if (end === '\r')
    wrong(
      `The first line of the program ${executable} ends in a carriage return (Windows line ends).`,
      `sed -i 's/\\r$//' ${quoteForHint(path)}`,
    )
  if ((await probe(program!, null)) !== undefined) {
    wrong(
      `The program ${executable} asks for the interpreter ${program}, which is not there.`,
      'Correct its first line (#!…).',
    )
  }
  if (basename(program!) === 'env' && argument && !argument.startsWith('-')) {
    await probeSiteProgram(argument, null, probe, `The program ${executable} asks for the interpreter ${argument}`)
  }
}

/** On this machine. Costs one `sh`. */
export const probeHere: ProbeProgram = async (program, setup) => {
  const script = `${setup ?? ':'}\ncommand -v -- "$0" >/dev/null && { case $0 in /*) test -x "$0" ;; esac; }`
  try {
    execFileSync('/bin/sh', ['-c', script, program], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 120_000 })
    return undefined
  } catch (cause) {
    return String((cause as { stderr?: Buffer }).stderr ?? '').trim()
  }
}

/** What runs images where nothing else is said. */
export const APPTAINER = 'apptainer'

/** Throws EXECUTABLE_INVALID when the site has nothing that runs images, as far as is said or found. */
export async function probeContainer(
  image: string,
  setup: string | null,
  { site, container, probe }: { site: string; container: string | null; probe: ProbeProgram },
): Promise<void> {
  const hint = `Where ${site} has Apptainer or Singularity, say \`container: apptainer\` for it in sites.yaml, or put it on PATH by \`setup:\`; else choose another site, or take \`container\` out of the job.`
  const said = container === null ? undefined : await probe(container, setup)
  if (container !== null && said === undefined) return
  const why =
    container === null ? `${site} runs no images, as far as sites.yaml says` : `${container} was not found at ${site}`
  throw new FloeError(
    'EXECUTABLE_INVALID',
    `The image ${image} cannot be run: ${why}.${said ? ` sh said: ${said.slice(-300)}` : ''}`,
    {
      hint,
      details: { image },
    },
  )
}

/** Where the site finds its own program. Throws EXECUTABLE_INVALID with what was tried. */
export async function probeSiteProgram(
  executable: string,
  setup: string | null,
  probe: ProbeProgram,
  subject = `The program ${executable}`,
): Promise<void> {
  const said = await probe(executable, setup)
  if (said === undefined) return
  const isAsked = subject.includes('asks')
  throw new FloeError(
    'EXECUTABLE_INVALID',
    `${subject}${isAsked ? ', which is not on PATH' : ' was not found, or may not be run'}.${said ? ` sh said: ${said.slice(-300)}` : ''}`,
    {
      hint: /\s/.test(executable)
        ? 'The program is one name or path; write what follows it as a list: `arguments: [-s, …]`.'
        : 'Install it, correct PATH or `setup:`, or name a path with a slash (./prg.sh) to have your own file staged.',
      details: { executable },
    },
  )
}

function shebang(path: string): readonly (string | undefined)[] | undefined {
  const head = Buffer.alloc(256)
  const fd = openSync(path, 'r')
  const read = readSync(fd, head)
  closeSync(fd)
  const match = /^#![ \t]*(\S+)(?:[ \t]+(\S+))?[^\r\n]*(\r)?/.exec(head.toString('latin1', 0, read))
  return match ? [match[1], match[2], match[3]] : undefined
}

const quoteForHint = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`)
