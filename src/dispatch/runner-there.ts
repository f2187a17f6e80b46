import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { quote } from '../../connectors/quote.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import { FloeError } from '../model/errors.ts'
import { Carriage } from './carriage.ts'

export interface RunnerWishes {
  /** The bundled runner, or another program, here. */
  readonly file: string
  /** The Node that runs this process, here, with what `uname -sm` says of it. */
  readonly node: { readonly path: string; readonly system: string }
  /** The site's own: an absolute path, or a line of sh that puts `node` on PATH. */
  readonly own: string | null
  /** For messages. */
  readonly site: string
}

export interface StagedRunner {
  readonly argv: readonly string[]
  readonly files: readonly { readonly path: string; readonly digest: string }[]
}

/** A program of floe's at the site, put there at its first use. */
export function programThere(
  transport: Transport,
  { scratch, cache }: { scratch: string; cache: string },
  wishes: RunnerWishes,
): () => Promise<StagedRunner> {
  const place = { there: cache, here: null, roots: {}, scratch, site: wishes.site }
  let staged: Promise<StagedRunner> | undefined
  return () => {
    staged ??= stageRunner(new Carriage(transport, place), transport, wishes).catch((error: unknown) => {
      staged = undefined
      throw error
    })
    return staged
  }
}

/**
 * Puts the runner on the site, and Node where the site names none of its own: the one that runs floe, for Linux of the same architecture.
 * Both by content, once. Answers the argv, and the files that have to be in the cache whenever it is used. Throws STAGE_FAILED when that
 * Node does not run there.
 */
async function stageRunner(
  carriage: Carriage,
  transport: Transport,
  { file, node, own, site }: RunnerWishes,
): Promise<StagedRunner> {
  const ownFile = { path: file, digest: await digestOf(file) }
  const runner = carriage.place(ownFile)
  if (own !== null) {
    await carriage.send()
    const argv = own.startsWith('/') ? [own] : ['/bin/sh', '-c', `${own}\nexec node "$@"`, 'node']
    await prove(transport, argv, {
      site,
      hint: `Correct \`node:\` of ${site} in sites.yaml: an absolute path, or a line such as \`module load nodejs\`.`,
    })
    return { argv: [...argv, runner], files: [ownFile] }
  }
  const hint = `Say \`node:\` for ${site} in sites.yaml: the path of a Node 20.19 or newer there, or a line such as \`module load nodejs\`.`
  const { stdout } = await transport.run('uname -sm', { timeoutMs: 60_000 })
  if (stdout.trim() !== node.system) {
    throw new FloeError(
      'STAGE_FAILED',
      `${site} is ${stdout.trim()} and floe runs on ${node.system}: its Node does not fit there.`,
      { hint },
    )
  }
  const nodeFile = { path: node.path, digest: await digestOf(node.path) }
  const program = carriage.place(nodeFile)
  await carriage.send()
  await prove(transport, [program], { site, hint })
  return { argv: [program, runner], files: [ownFile, nodeFile] }
}

async function prove(
  transport: Transport,
  argv: readonly string[],
  { site, hint }: { site: string; hint: string },
): Promise<void> {
  const { exit, stdout, stderr } = await transport.run(`${argv.map(quote).join(' ')} --version`, { timeoutMs: 60_000 })
  const [, major, minor] = /^v(\d+)\.(\d+)\./.exec(stdout) ?? []
  const isNew = Number(major) > 20 || (Number(major) === 20 && Number(minor) >= 19)
  if (exit === 0 && isNew) return
  const said = exit === 0 ? `it is ${stdout.trim()}` : stderr.trim().split('\n')[0]
  throw new FloeError('STAGE_FAILED', `Node does not run at ${site}: ${said}`, { hint })
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}
