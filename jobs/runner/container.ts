import { realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ManifestContainer, ManifestInput, ManifestJob } from '../../src/model/manifest.ts'

export interface ContainerPlace {
  readonly container: ManifestContainer
  /** Directories of jobs on the node. */
  readonly root: string
  /** What floe carried to the site; absent: nothing. */
  readonly cache: string | undefined
  readonly gpus: number
}

/**
 * Arguments that make Apptainer or Singularity run a job's program in its image: what the job was given is there under its own paths, and of
 * what is bound here its directory alone to be written; what the site itself shows in images comes on top. `problem`: it cannot be said.
 */
export function containerArguments(
  job: ManifestJob,
  directory: string,
  place: ContainerPlace,
): readonly string[] | { readonly problem: string } {
  const { container, root, cache, gpus } = place
  const given = [...job.inputs, ...(job.files ?? [])].flatMap(foldersOf)
  const below = (path: string, folder: string | undefined): boolean =>
    folder !== undefined && `${path}/`.startsWith(`${folder}/`)
  const read = [...new Set(given)].filter((folder) => !below(folder, cache)).sort()
  const bound = [...(cache === undefined ? [] : [cache]), ...read]
  const odd = [root, ...bound].find((path) => /[:,]/.test(path))
  if (odd !== undefined)
    return { problem: `${container.program} cannot show ${odd} in an image: it has a colon or a comma in its name` }
  return [
    'exec',
    ...bound.flatMap((path) => ['--bind', `${path}:${path}:ro`]),
    ...['--bind', `${directory}:${directory}`, '--pwd', directory],
    ...(gpus > 0 ? ['--nv'] : []),
    container.image,
    job.program,
    ...job.arguments,
  ]
}

/** Variables that Apptainer and Singularity set by the image, unless they are told under another name. */
const OF_IMAGES = ['PATH', 'LD_LIBRARY_PATH']

/** What a job says of its variables, also in its image. The check runs beside it, so the names themselves stay. */
export function imageEnvironment(environment: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const told = OF_IMAGES.filter((name) => environment[name] !== undefined)
  const named = told.flatMap((name) =>
    ['APPTAINERENV', 'SINGULARITYENV'].map((of) => [`${of}_${name}`, environment[name]!] as const),
  )
  return { ...environment, ...Object.fromEntries(named) }
}

/** Where a file lies, and where it truly lies; of a folder itself. */
function foldersOf({ path }: ManifestInput): string[] {
  const folder = (of: string): string => (path.endsWith('/') ? of.replace(/\/+$/, '') : dirname(of))
  try {
    return [folder(path), folder(realpathSync(path))]
  } catch {
    return [folder(path)]
  }
}
