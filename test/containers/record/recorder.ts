import { mkdirSync, writeFileSync } from 'node:fs'
import { release, version } from 'node:os'
import { join } from 'node:path'
import { type Machine, until } from '../machine.ts'

export interface Recording {
  /** Remarks for the head of the file, e.g. `arrays 7=60`. */
  readonly about: readonly string[]
  readonly commands: readonly (string | readonly [command: string, user: string])[]
  /** Asked again until its output matches; it is the first command's. */
  readonly until?: RegExp
  readonly on?: Machine
}

/** Writes what commands print, byte for byte, into files of a folder. */
export class Recorder {
  readonly #folder: string
  readonly #login: Machine

  constructor(folder: string, login: Machine) {
    this.#folder = folder
    this.#login = login
    mkdirSync(folder, { recursive: true })
  }

  async record(name: string, { about, commands, until: wanted, on = this.#login }: Recording): Promise<void> {
    const blocks: string[] = []
    for (const [at, command] of commands.entries()) {
      const [text, user] = typeof command === 'string' ? [command, 'alice'] : command
      const look = async () => {
        const { exit, stdout, stderr } = await on.run(`cd /scratch/alice; export LC_ALL=C TZ=UTC; ${text}`, user)
        const sign = user === 'root' ? '#' : '$'
        const block = `${sign} ${text}\n--- stdout\n${whole(stdout)}--- stderr\n${whole(stderr)}--- exit status ${exit}\n`
        return (at > 0 || !wanted || wanted.test(stdout + stderr)) && block
      }
      blocks.push(await until(look, { what: `${name}: ${text} prints ${wanted}`, waitMs: 150_000, everyMs: 50 }))
    }
    const text = about.map((line) => `## ${line}\n`).join('') + blocks.join('')
    // Nodes tell the kernel of the machine that the containers run on.
    const plain = text.replaceAll(release(), '6.1.0').replaceAll(version(), '#1 SMP')
    writeFileSync(join(this.#folder, `${name}.txt`), plain)
    console.log(name)
  }
}

/** The next mark starts a line; a newline that was not printed is the only byte that differs. */
const whole = (text: string): string => (text === '' || text.endsWith('\n') ? text : `${text}\n`)
