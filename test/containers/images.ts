import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GenericContainer, getContainerRuntimeClient, ImageName } from 'testcontainers'

const IMAGES = join(import.meta.dirname, '../../infra/images')
/** Certificates that a machine's owner added to those of its distribution. */
const CERTIFICATES = '/usr/local/share/ca-certificates'

/** Names under `infra/images`. */
export const imageNames: readonly string[] = readdirSync(IMAGES)

function certificates(): readonly string[] {
  if (!existsSync(CERTIFICATES)) return []
  return (readdirSync(CERTIFICATES, { recursive: true }) as string[]).filter((name) => name.endsWith('.crt'))
}

function digestOf(folder: string): string {
  const hash = createHash('sha256')
  for (const name of (readdirSync(folder, { recursive: true, withFileTypes: true }) as import('node:fs').Dirent[])
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()) {
    hash
      .update(`${name.slice(folder.length)}\0`)
      .update(readFileSync(name))
      .update('\0')
  }
  return hash.digest('hex').slice(0, 12)
}

/** The image of a folder of `infra/images`, built unless one of the same content is there. Answers its name. */
export async function imageOf(name: string): Promise<string> {
  const context = mkdtempSync(join(tmpdir(), 'floe-image-'))
  try {
    cpSync(join(IMAGES, name), context, { recursive: true })
    for (const [at, file] of certificates().entries())
      cpSync(join(CERTIFICATES, file), join(context, 'ca', `own-${at}.crt`))
    const image = `floe-test-${name}:${digestOf(context)}`
    const client = await getContainerRuntimeClient()
    if (!(await client.image.exists(ImageName.fromString(image))))
      await GenericContainer.fromDockerfile(context)
        .build(image, { deleteOnExit: false })
        .catch((cause: unknown) => {
          throw new Error(`infra/images/${name} cannot be built; DEBUG=testcontainers:build shows why`, { cause })
        })
    return image
  } finally {
    rmSync(context, { recursive: true, force: true })
  }
}
