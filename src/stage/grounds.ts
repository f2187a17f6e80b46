import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { FloeError } from '../model/errors.ts'

/** A directory that inputs lie below, and how many of them there are and are missing. */
interface Ground {
  /** Name of a root; null: where the campaign's other inputs lie. */
  readonly name: string | null
  directory: string
  inputs: number
  missing: number
}

/**
 * Where inputs lie: the roots, and the directory that all others have in common. One that is not mounted looks like thousands of missing
 * inputs, and is one fault.
 */
export class Grounds {
  readonly #roots: Ground[]
  #rest: Ground | undefined

  constructor(roots: Readonly<Record<string, string>>) {
    this.#roots = Object.entries(roots).map(([name, root]) => ({
      ...{ name, directory: root.replace(/(?<=.)\/+$/, ''), inputs: 0, missing: 0 },
    }))
  }

  /** `path` as the site, or this machine, would see it. */
  note(path: string, isThere: boolean): void {
    const ground = this.#roots.find(({ directory }) => isBelow(path, directory)) ?? this.#restAround(path)
    ground.inputs++
    if (!isThere) ground.missing++
  }

  #restAround(path: string): Ground {
    this.#rest ??= { name: null, directory: dirname(path), inputs: 0, missing: 0 }
    while (!isBelow(path, this.#rest.directory)) this.#rest.directory = dirname(this.#rest.directory)
    return this.#rest
  }

  /** Throws INPUTS_MISSING when a whole ground is gone. `isBare` says whether a directory is not there, or has nothing in it. */
  async check(isBare: (directory: string) => Promise<boolean>): Promise<void> {
    for (const ground of [...this.#roots, ...(this.#rest ? [this.#rest] : [])]) {
      const { name, directory, inputs, missing } = ground
      // One file that is not there is said as that.
      if (missing < inputs || inputs === 0 || (name === null && inputs === 1)) continue
      if (!(await isBare(directory))) continue
      const what = name === null ? `The directory ${directory}` : `The root ${name}, ${directory},`
      const lost = inputs === 1 ? 'the input' : `all ${inputs.toLocaleString('en')} inputs`
      throw new FloeError('INPUTS_MISSING', `${what} is not there, or is empty, and ${lost} below it with it.`, {
        hint: `Is it mounted? Mount it${name === null ? '' : ', or correct it in `roots:`'}, and run again; no job was tried.`,
        details: { directory, root: name, inputs },
      })
    }
  }
}

const isBelow = (path: string, directory: string): boolean => directory === '/' || path.startsWith(`${directory}/`)

/** Of this machine. What may not be read is there. */
export function isBareHere(directory: string): boolean {
  try {
    return readdirSync(directory).length === 0
  } catch (error) {
    return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
  }
}
