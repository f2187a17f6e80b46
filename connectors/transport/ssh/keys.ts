import { existsSync, readFileSync } from 'node:fs'
import ssh2, { type ParsedKey, type SignCallback, type SigningRequestOptions } from 'ssh2'
import type { HostPlan } from './config.ts'

/** Asks the person at the terminal. Rejects when there is none. Answers are secrets: they are sent or used, and kept nowhere else. */
export type Ask = (prompt: string, options: { echo: boolean }) => Promise<string>

/** A key to log in with. Its private half is asked for only when the site would take it. */
export interface Identity {
  /** For messages. */
  readonly label: string
  readonly key: ParsedKey
  sign(data: Buffer, options: SigningRequestOptions): Promise<Buffer>
}

/** Passphrases that were right, as unlocked keys by file: asked once, however often the connection is opened. */
export type Unlocked = Map<string, ParsedKey>

/** Keys in the order in which OpenSSH offers them: those of the agent that are named, the agent's others, the files that no agent has. */
export async function identitiesFor(
  plan: HostPlan,
  ask: Ask | undefined,
  unlocked: Unlocked,
): Promise<{ identities: Identity[]; notes: string[] }> {
  const notes: string[] = []
  const files = plan.identityFiles
    .filter((file) => existsSync(file) || existsSync(`${file}.pub`))
    .map((file) => ({ file, key: publicHalf(file) }))
  const held = await agentKeys(plan.agent, notes)
  const isSame = (a: ParsedKey) => (b: ParsedKey | undefined) =>
    b !== undefined && a.getPublicSSH().equals(b.getPublicSSH())
  const named = files.flatMap(({ file, key }) => {
    const match = key && held.find(isSame(key))
    return match ? [fromAgent(plan.agent!, match, file)] : []
  })
  const rest = held.filter((key) => !files.some((file) => isSame(key)(file.key)))
  const others = plan.identitiesOnly
    ? []
    : rest.map((key) => fromAgent(plan.agent!, key, `${key.comment} of the agent`))
  const alone = files.filter(({ file, key }) => existsSync(file) && !(key && held.some(isSame(key))))
  const own = alone.flatMap(({ file, key }) => {
    if (key) return [fromFile(file, key, ask, unlocked)]
    notes.push(`${file} cannot be read as a key (\`ssh-keygen -p -f ${file}\` rewrites it in the present form)`)
    return []
  })
  return { identities: [...named, ...others, ...own], notes }
}

/** An agent that holds one key, since ssh2 does not tell a half-finished login (key, then password) from a refused key of several. */
export class OneKey extends ssh2.BaseAgent<ParsedKey> {
  /** The site took the key, and the private half was used. */
  hasSigned = false
  failure: string | undefined
  readonly #identity: Identity

  constructor(identity: Identity) {
    super()
    this.#identity = identity
  }

  getIdentities(done: (failure: Error | undefined, keys?: ParsedKey[]) => void): void {
    done(undefined, [this.#identity.key])
  }

  override sign(_key: unknown, data: Buffer, given: SigningRequestOptions | SignCallback, then?: SignCallback): void {
    const [options, done] = typeof given === 'function' ? [{}, given] : [given, then!]
    this.#identity.sign(data, options).then(
      (signature) => {
        this.hasSigned = true
        done(undefined, signature)
      },
      (failure: Error) => {
        this.failure = `${this.#identity.label}: ${failure.message}`
        done(failure)
      },
    )
  }
}

async function agentKeys(socket: string | undefined, notes: string[]): Promise<ParsedKey[]> {
  if (socket === undefined) return []
  const agent = ssh2.createAgent(socket)
  return new Promise((resolve) =>
    agent.getIdentities((failure, keys) => {
      if (failure) notes.push(`the agent at ${socket} does not answer`)
      resolve(
        (keys ?? [])
          .map((key) => ssh2.utils.parseKey(key as ParsedKey))
          .filter((key): key is ParsedKey => !(key instanceof Error)),
      )
    }),
  )
}

function fromAgent(socket: string, key: ParsedKey, label: string): Identity {
  return {
    ...{ label, key },
    sign: (data, options) =>
      new Promise((resolve, reject) =>
        ssh2
          .createAgent(socket)
          .sign(key, data, options, (failure, signature) =>
            failure ? reject(new Error('the agent did not sign with it')) : resolve(signature as Buffer),
          ),
      ),
  }
}

function fromFile(file: string, key: ParsedKey, ask: Ask | undefined, unlocked: Unlocked): Identity {
  return {
    ...{ label: file, key },
    async sign(data, options) {
      const whole = unlocked.get(file) ?? (await unlock(file, ask))
      unlocked.set(file, whole)
      const signature = whole.sign(data, options.hash) as Buffer | Error
      if (signature instanceof Error) throw signature
      return signature
    },
  }
}

async function unlock(file: string, ask: Ask | undefined): Promise<ParsedKey> {
  const content = readFileSync(file)
  const open = ssh2.utils.parseKey(content)
  if (!(open instanceof Error)) return open
  if (ask === undefined)
    throw new Error('it has a passphrase, and there is no terminal to ask for it (`ssh-add` it to an agent)')
  for (let tries = 0; tries < 3; tries++) {
    const key = ssh2.utils.parseKey(content, await ask(`Passphrase of ${file}: `, { echo: false }))
    if (!(key instanceof Error)) return key
  }
  throw new Error('the passphrase was not right')
}

function publicHalf(file: string): ParsedKey | undefined {
  const texts = [`${file}.pub`, file].flatMap((path) => {
    try {
      return [readFileSync(path)]
    } catch {
      return []
    }
  })
  for (const text of [...texts, ...texts.map(publicOfEncrypted).filter((found) => found !== undefined)]) {
    const key = ssh2.utils.parseKey(text)
    if (!(key instanceof Error)) return key
  }
  return undefined
}

/** OpenSSH's own format keeps the public half in the clear: magic, cipher, kdf, kdf options, count, public key. */
function publicOfEncrypted(text: Buffer): Buffer | undefined {
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/.exec(text.toString('latin1'))?.[1]
  const bytes = Buffer.from(body ?? '', 'base64')
  const magic = 'openssh-key-v1\0'
  if (bytes.toString('latin1', 0, magic.length) !== magic) return undefined
  try {
    let at = magic.length
    for (let skip = 0; skip < 3; skip++) at += 4 + bytes.readUInt32BE(at)
    const key = bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at + 4))
    const type = key.toString('latin1', 4, 4 + key.readUInt32BE(0))
    return Buffer.from(`${type} ${key.toString('base64')} ${''}`)
  } catch {
    return undefined
  }
}
