import { excerpt, type Fault, type GivenJob } from './given.ts'
import {
  DATA_KEYS,
  dataNamed,
  hintFor,
  JOB_KEYS,
  type KeyForm,
  keyNamed,
  RESOURCE_KEYS,
  resourceNamed,
} from './keys.ts'

/** A value of a job file as YAML, JSON or a row of cells gives it. */
export type Given = string | number | boolean | null | undefined | readonly Given[] | { readonly [key: string]: Given }

class FormFault extends Error {
  readonly fault: Omit<Fault, 'job'>
  constructor(value: Given, reason: string, hint: string) {
    super(reason)
    this.fault = { value: value === undefined ? null : excerpt(plain(value)), reason, hint }
  }
}

const plain = (value: Given): string => (typeof value === 'string' ? value : JSON.stringify(value))

/**
 * The form of one job: keys known, each value a text, list or map as its key wants, numbers and booleans as text. Says nothing of what
 * the texts mean. `id` is the name that the job has outside of itself (key of a map); a name inside must be the same.
 */
export function jobForm(job: Given, id?: string): GivenJob | Fault {
  const named = id ?? idOf(job)
  try {
    return formOf(job, id)
  } catch (error) {
    if (error instanceof FormFault) return { job: named ?? null, ...error.fault }
    throw error
  }
}

export const isFault = (form: GivenJob | Fault): form is Fault => 'reason' in form

function idOf(job: Given): string | undefined {
  if (!isMap(job)) return undefined
  const id = job.id ?? job.job_id ?? job.name
  return typeof id === 'string' || typeof id === 'number' ? String(id) : undefined
}

function formOf(job: Given, id: string | undefined): GivenJob {
  if (!isMap(job)) {
    throw new FormFault(job, `a job is ${kindOf(job)}`, 'write a map with `data:`, `executable:` and so on')
  }
  const form: GivenJob = {}
  if (id !== undefined) form.id = id
  const seen = new Set<string>()
  for (const name in job) {
    const value = job[name]
    const known = keyNamed(name)
    if (!known) throw new FormFault(name, `unknown key \`${excerpt(name)}\``, hintFor(name, JOB_KEYS))
    if (value === null || value === undefined) continue
    if (seen.has(known.key)) throw twice(known.key)
    seen.add(known.key)
    READ[known.form](form, known.key, value)
  }
  if (id !== undefined && form.id !== id) {
    throw new FormFault(
      form.id as string,
      `the job is called \`${excerpt(id)}\` and has another \`id\``,
      'leave `id` out',
    )
  }
  return form
}

const twice = (key: string) =>
  new FormFault(key, `\`${key}\` is given twice`, 'keep one of `input`, `inputs`, `data.input`, and so for others')

type Reader = (form: GivenJob, key: string, value: Given) => void
type Name = keyof GivenJob

const READ: Readonly<Record<KeyForm, Reader>> = {
  text(form, key, value) {
    form[key as Name] = textOf(key, value)
  },
  list(form, key, value) {
    form[key as Name] = listOf(key, value).map((one) => textOf(key, one))
  },
  map(form, key, value) {
    form[key as Name] = mapOf(key, value)
  },
  inputs(form, _key, value) {
    if (form.inputs !== undefined) throw twice('input')
    readInputs(form, listOf('input', value))
  },
  outputs(form, _key, value) {
    if (form.outputs !== undefined) throw twice('output')
    readOutputs(form, listOf('output', value))
  },
  data(form, _key, value) {
    if (!isMap(value))
      throw new FormFault(value, `\`data\` is ${kindOf(value)}`, 'write `input:` and `output:` below it')
    for (const name in value) {
      const key = dataNamed(name)
      if (!key) throw new FormFault(name, `unknown key \`${excerpt(name)}\` in \`data\``, hintFor(name, DATA_KEYS))
      if (value[name] !== null) READ[key === 'input' ? 'inputs' : 'outputs'](form, key, value[name])
    }
  },
  resources(form, _key, value) {
    if (!isMap(value)) {
      throw new FormFault(value, `\`resources\` is ${kindOf(value)}`, 'write {cpus: 1, memory: 2GB, walltime: 10m}')
    }
    for (const name in value) {
      const key = resourceNamed(name)
      if (!key)
        throw new FormFault(name, `unknown key \`${excerpt(name)}\` in \`resources\``, hintFor(name, RESOURCE_KEYS))
      if (form[key] !== undefined) throw twice(key)
      if (value[name] !== null) form[key] = textOf(key, value[name])
    }
  },
}

function readInputs(form: GivenJob, list: readonly Given[]): void {
  const declared = list.some(isMap)
  const [inputs, sizes, digests]: [string[], (number | null)[], (string | null)[]] = [[], [], []]
  for (const one of list) {
    if (!isMap(one)) {
      inputs.push(textOf('input', one))
      sizes.push(null)
      digests.push(null)
      continue
    }
    checkKeys('input', one, ['url', 'size_bytes', 'digest'])
    if (one.url === undefined || one.url === null) throw new FormFault(one, 'an input has no `url`', 'add `url:` to it')
    inputs.push(textOf('url', one.url))
    sizes.push(sizeOf(one.size_bytes))
    digests.push(one.digest === undefined || one.digest === null ? null : digestOf(textOf('digest', one.digest)))
  }
  form.inputs = inputs
  if (!declared) return
  form.input_sizes = sizes
  form.input_digests = digests
}

function sizeOf(given: Given): number | null {
  if (given === undefined || given === null) return null
  const size = typeof given === 'string' && /^\d+$/.test(given) ? Number(given) : given
  if (typeof size === 'number' && Number.isSafeInteger(size) && size >= 0) return size
  throw new FormFault(given, '`size_bytes` of an input is no number of bytes', 'write it in digits, or leave it out')
}

const digestOf = (text: string): string => (/^[0-9a-f]{64}$/i.test(text) ? `sha256:${text.toLowerCase()}` : text)

function readOutputs(form: GivenJob, list: readonly Given[]): void {
  const [outputs, optionals]: [string[], boolean[]] = [[], []]
  for (const one of list) {
    if (!isMap(one)) {
      outputs.push(textOf('output', one))
      optionals.push(false)
      continue
    }
    checkKeys('output', one, ['path', 'optional'])
    if (one.path === undefined || one.path === null)
      throw new FormFault(one, 'an output has no `path`', 'add `path:` to it')
    outputs.push(textOf('path', one.path))
    optionals.push(flagOf(one.optional))
  }
  form.outputs = outputs
  if (optionals.includes(true)) form.optionals = optionals
}

function flagOf(given: Given): boolean {
  const flag = given ?? false
  if (typeof flag === 'boolean') return flag
  if (flag === 'true' || flag === 'false') return flag === 'true'
  throw new FormFault(given, '`optional` of an output is neither true nor false', 'write `optional: true`')
}

function checkKeys(place: string, map: { readonly [key: string]: Given }, known: readonly string[]): void {
  for (const name in map) {
    if (known.includes(name)) continue
    throw new FormFault(name, `unknown key \`${excerpt(name)}\` in an ${place}`, hintFor(name, known))
  }
}

function mapOf(key: string, value: Given): Record<string, string> {
  if (!isMap(value))
    throw new FormFault(value, `\`${key}\` is ${kindOf(value)}`, `write {NAME: value} after \`${key}:\``)
  const map: Record<string, string> = Object.create(null)
  for (const name in value) {
    const one = value[name]
    if (one !== null && one !== undefined) map[name] = textOf(`${key}.${name}`, one)
  }
  return map
}

function listOf(key: string, value: Given): readonly Given[] {
  if (Array.isArray(value)) return value
  // `arguments: --fast in.nc` would be one argument with a blank in it, which nobody means.
  if (key === 'arguments' && typeof value === 'string' && /\s/.test(value)) {
    throw new FormFault(value, '`arguments` is one text', 'write a list: ["--fast", "{input:1}"]')
  }
  return [value]
}

function textOf(key: string, value: Given): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new FormFault(
    value,
    `\`${key}\` is ${kindOf(value)} where a text is wanted`,
    'write a text, in quotes if need be',
  )
}

const isMap = (value: Given): value is { readonly [key: string]: Given } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function kindOf(value: Given): string {
  if (value === null || value === undefined) return 'empty'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'a map' : `a ${typeof value === 'string' ? 'text' : typeof value}`
}
