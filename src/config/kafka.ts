import { readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { FloeError } from '../model/errors.ts'
import type { ParsedSites } from './sites-schema.ts'

/** Where status events are told. */
export interface KafkaSetting {
  readonly brokers: string
  readonly topic: string
  readonly partitions: number
  /** By the names of librdkafka; with the password. */
  readonly settings: Readonly<Record<string, string | number | boolean>>
}

type Given = NonNullable<ParsedSites['kafka']>

/** Files are relative to that of the sites. Throws CONFIG_INVALID when one that holds a password cannot be read, or others can read it. */
export function toKafka({ brokers, topic, partitions, tls, sasl, options }: Given, path: string): KafkaSetting {
  const at = (file: string): string => resolve(dirname(path), file.replace(/^~(?=\/)/, homedir()))
  const secured = `${sasl ? 'sasl_' : ''}${tls === false ? 'plaintext' : 'ssl'}`
  const files = typeof tls === 'boolean' ? {} : tls
  const named = {
    'security.protocol': secured,
    'ssl.ca.location': files.ca && at(files.ca),
    'ssl.certificate.location': files.certificate && at(files.certificate),
    'ssl.key.location': files.key && at(files.key),
    'sasl.mechanisms': sasl?.mechanism,
    'sasl.username': sasl?.user,
    'sasl.password': sasl?.password_file && readPassword(at(sasl.password_file), path),
    ...options,
  }
  const settings = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined))
  return { brokers: brokers.join(','), topic, partitions, settings: settings as KafkaSetting['settings'] }
}

function readPassword(file: string, path: string): string {
  try {
    const others = statSync(file).mode & 0o077
    const [password = ''] = readFileSync(file, 'utf8').split('\n')
    if (others === 0) return password
  } catch (cause) {
    throw new FloeError('CONFIG_INVALID', `${path}: kafka.sasl.password_file: ${(cause as Error).message}`, { cause })
  }
  throw new FloeError('CONFIG_INVALID', `${path}: kafka.sasl.password_file: others than you may read ${file}.`, {
    hint: `chmod 600 ${file}`,
  })
}
