import type { ManifestJob } from '../../src/model/manifest.ts'

/*
 * What a slot's shell is told, and how it answers. The shell reads POSIX sh from its standard input; its own standard output and error are
 * the control stream to the runner. Descriptors 3, 4, 5 are /dev/null and the two log spools. It answers in lines that begin with the
 * nonce of the slot:
 *   <nonce> path <PATH after setup>
 *   <nonce> ready <exit of setup>
 *   <nonce> <seq> <exit> <exit of check, or ->
 *   <nonce> <seq> gone                          the directory of the job was taken back before it started
 * Lines without the nonce are the shell's own words: bash says here that a signal ended a job; dash says it on the job's standard error.
 * After each job it writes `<RS><nonce> <seq>` to both spools, before it answers: there the job's streams end.
 */

/** Text as one word of sh, whatever it contains but NUL. The only place that quotes for a shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

export const streamEnd = (nonce: string, seq: number): string => `\x1e${nonce} ${seq}\n`

/** Told to a new shell before the first job. */
export function setupText(setup: string | null, nonce: string): string {
  const chosen = setup === null ? ':' : `eval ${quote(setup)}`
  return [
    'exec 2>&1',
    // In braces, so that redirections, also those of `exec`, end with it; then options that would end this shell are taken back.
    `{ ${chosen}; } <&3 >&4 2>&5`,
    '_floe_s=$?; set +e +u +x +v +f',
    `echo "${nonce} path $PATH"`,
    `_floe_end() { echo "\x1e${nonce} $1" >&4; echo "\x1e${nonce} $1" >&5; echo "${nonce} $1 $2 $3"; }`,
    `echo "${nonce} ready $_floe_s"`,
    '',
  ].join('\n')
}

export interface JobPlace {
  readonly seq: number
  readonly directory: string
  /** Absolute path of the program. */
  readonly program: string
  /** Names and values that floe sets; they win over those of the job. */
  readonly variables: readonly (readonly [string, string])[]
}

/** A job for a slot's shell. If the directory is gone the job does not start. */
export function jobText(job: ManifestJob, nonce: string, place: JobPlace): string {
  const { seq, directory } = place
  const { assigned, passed } = splitEnvironment(job.environment, place.variables)
  const words = job.arguments.map((argument) => ` ${quote(argument)}`).join('')
  const stdin = job.stdin === undefined ? '<&3' : `<${quote(job.stdin)}`
  const stdout = job.stdout === undefined ? '>&4' : `>${quote(job.stdout)}`
  const command = `${assigned}${programWords(place.program, passed)}${words} ${stdin} ${stdout} 2>&5`
  const end = job.check === undefined ? `_floe_end ${seq} $? -` : checkText(seq, job.check, assigned)
  return `if cd ${quote(directory)}; then ${command}; ${end}; else echo "${nonce} ${seq} gone"; fi\n`
}

/** The check runs in a subshell, so that `exit`, `cd` and `set` end with it. */
function checkText(seq: number, check: string, assigned: string): string {
  const exported = assigned === '' ? '' : `export ${assigned.trimEnd()}; `
  const asked = `( ${exported}eval ${quote(check)} ) <&3 >&4 2>&5; _floe_c=$?`
  return `_floe_s=$?; _floe_c=-; if [ "$_floe_s" = 0 ]; then ${asked}; fi; _floe_end ${seq} "$_floe_s" "$_floe_c"`
}

/** `env` takes a word with `=` for a variable, even a path; `nice -n 0` runs it unchanged. */
function programWords(program: string, passed: string): string {
  if (passed === '') return quote(program)
  return `/usr/bin/env ${passed}${program.includes('=') ? '/usr/bin/nice -n 0 ' : ''}${quote(program)}`
}

/** Variables that some shells keep read-only or check; a prefix assignment would be an error, or end the shell. */
const KEPT_BY_SHELLS = new Set(
  'BASHOPTS BASH_VERSINFO EUID FUNCNAME GROUPS LINENO OPTIND PPID SHELLOPTS UID _'.split(' '),
)

/** What the shell assigns itself, and what only `env` can pass. */
function splitEnvironment(
  environment: Readonly<Record<string, string>> | undefined,
  variables: readonly (readonly [string, string])[],
): { assigned: string; passed: string } {
  let assigned = ''
  let passed = ''
  for (const name in environment) {
    const isPlain = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !KEPT_BY_SHELLS.has(name)
    if (isPlain) assigned += `${name}=${quote(environment[name]!)} `
    else passed += `${quote(`${name}=${environment[name]}`)} `
  }
  for (const [name, value] of variables) assigned += `${name}=${quote(value)} `
  return { assigned, passed }
}

/** Why the text of a job cannot be told to any program; `undefined`: it can. */
export function unspeakable(job: ManifestJob): string | undefined {
  const texts = [job.program, ...job.arguments, ...Object.entries(job.environment ?? {}).flat(), job.stdin, job.stdout]
  if (texts.some((text) => text?.includes('\0'))) return 'an argument or variable contains a NUL byte'
  // Linux: MAX_ARG_STRLEN, 32 pages for one word.
  if (job.arguments.some((text) => Buffer.byteLength(text) > 131_071)) return 'an argument is longer than 128 KiB'
  for (const name in job.environment) if (name === '' || name.includes('=')) return `no variable can be named "${name}"`
  return undefined
}
