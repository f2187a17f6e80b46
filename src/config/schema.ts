import * as z from 'zod'
import { parseBytes, parseSeconds } from '../model/resources.ts'
import { policySchema, toRule } from './policy.ts'

/*
 * floe.yaml, version 1. Everything is optional. This schema is the one place for the options: validation, data/schemas/floe.schema.json,
 * docs/config.md and the floe.yaml that `init` writes are made from it.
 */

const BYTES = 'a size such as 512MB, 2GB or 1.5GiB'
const DURATION = 'a duration such as 90s, 10m, 1h30m or 2-12:00:00'

export const bytes = z.union([z.string(), z.number()]).transform((given, context) => {
  const size = parseBytes(given)
  if (size === undefined) context.addIssue({ code: 'custom', message: `must be ${BYTES}` })
  return size ?? z.NEVER
})

export const seconds = z.union([z.string(), z.number()]).transform((given, context) => {
  const duration = parseSeconds(given)
  if (duration === undefined) context.addIssue({ code: 'custom', message: `must be ${DURATION}` })
  return duration ?? z.NEVER
})

export const count = (min: number) => z.number().int().min(min)
/** YAML reads `1982` and `true` as a number and a boolean; as a value of an environment or label they are text. */
const words = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String))
export const text = (description: string, unit?: string) =>
  unit === undefined ? { description } : { description, unit }

const resources = z
  .strictObject({
    cpus: count(1).default(1).meta(text('Cores of one job.', 'cores')),
    memory: bytes.nullable().default(null).meta(text('Memory of one job; more is a failure of class memory.', 'bytes')),
    walltime: seconds
      .nullable()
      .default(null)
      .meta(text('Time of one job; longer is a failure of class walltime.', 'seconds')),
    gpus: count(0).default(0).meta(text('GPUs of one job.', 'GPUs')),
  })
  .prefault({})

const jobs = z
  .strictObject({
    resources: resources.meta(text('What one job needs.')),
    setup: z.string().nullable().default(null).meta(text('sh, run once in each slot before the first job.')),
    environment: words.default({}).meta(text('Variables set for every job.')),
    publish: z
      .enum(['files', 'pack', 'table'])
      .default('files')
      .meta(text('files: outputs as they are; pack: one tar a task; table: content goes into the merged table only.')),
    check: z.string().nullable().default(null).meta(text('sh, run after exit 0; if it fails, the job has failed.')),
    cache: z.boolean().default(true).meta(text('Whether an equal earlier result may answer a job.')),
    labels: words.default({}).meta(text('Labels of every job, for selections and {label:name}.')),
    priority: z.number().int().default(0).meta(text('Higher runs first.')),
  })
  .prefault({})

const batch = z
  .strictObject({
    jobs: count(1)
      .nullable()
      .default(null)
      .meta(text('Jobs of a batch at most. Without it floe chooses, 1000 at most.', 'jobs')),
    seconds: seconds
      .prefault('10m')
      .meta(text('Wanted length of a batch, where the length of jobs is known.', 'seconds')),
    bytes: bytes
      .nullable()
      .default(null)
      .meta(text('Distinct inputs of a batch at most, for nodes with small disks.', 'bytes')),
  })
  .prefault({})

const scouts = z
  .strictObject({
    jobs: count(0)
      .default(8)
      .meta(
        text(
          'How many, each in a task of its own. 0: none, and no memory or walltime is asked for by what was measured.',
          'jobs',
        ),
      ),
    from: count(1).default(10_000).meta(text('With fewer jobs of that kind all go at once.', 'jobs')),
    wait: seconds
      .prefault('5m')
      .meta(text('How long the others wait for them to begin; for those that run, an hour more.', 'seconds')),
  })
  .prefault({})

export const configSchema = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .meta(text('Name of the campaign. Without it: the name of its directory.')),
    site: z
      .string()
      .min(1)
      .default('local')
      .meta(text('Where jobs run when the command line names no site. `local` is this machine.')),
    slots: count(1)
      .nullable()
      .default(null)
      .meta(text('Cores of this machine that jobs may use. Without it: all.', 'cores')),
    jobs: jobs.meta(text('What holds for every job that does not say otherwise.')),
    batch: batch.meta(text('How jobs are grouped.')),
    scouts: scouts.meta(
      text(
        'Jobs that go first where nothing is known of their program and resources; the others are cut after what they measured.',
      ),
    ),
    policy: policySchema.meta(text('What follows a failure, by its class.')),
    stop_when_failed: z
      .number()
      .min(0)
      .max(1)
      .default(0.25)
      .meta(
        text(
          'Share of the jobs that ended, once 20 have, that may fail before a run stops by itself.',
          'share, 0 to 1',
        ),
      ),
    reuse: z
      .array(z.string().min(1))
      .default([])
      .meta(text('Other campaigns whose results answer equal jobs; directories, relative to this one.')),
    digest: z
      .enum(['auto', 'hashed', 'size_mtime'])
      .default('auto')
      .meta(
        text(
          'How a changed input is known. auto: by content for small files, by size and time else; hashed: by content.',
        ),
      ),
    sandboxes: count(0).default(20).meta(text('Directories of failed jobs that are kept, the newest.', 'directories')),
    roots: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_-]+$/, 'must be a word of two or more letters'), z.string().min(1))
      .default({})
      .meta(text('Names for directories: with `era5: /data/era5` a job may say `era5:1982/01.nc`.')),
    outputs: z
      .string()
      .min(1)
      .refine((path) => !path.includes('://') || /^s?webhdfs:\/\/[^/]+\/./.test(path), {
        message: 'must be a directory, or an address in HDFS: webhdfs://namenode:9870/outputs/winds',
      })
      .default('outputs')
      .meta(
        text(
          'Directory that outputs are published in, relative to the campaign, or to what this machine keeps of one in HDFS; or a folder in HDFS, `webhdfs://…`, that tasks write them to.',
        ),
      ),
    group: z.boolean().default(false).meta(text('Whether the unix group of the directory may read and write as well.')),
    memory: bytes
      .prefault('1.5GB')
      .meta(text('Memory that floe itself uses for tables; more spills to .floe/.', 'bytes')),
    threads: count(1)
      .nullable()
      .default(null)
      .meta(text('Threads that floe itself uses. Without it: all cores.', 'threads')),
  })
  .superRefine(({ jobs: { resources: asked }, policy }, context) => {
    for (const name of ['memory', 'walltime'] as const) {
      const { cap } = toRule(name, policy[name])
      const wanted = asked[name]
      if (cap !== null && wanted !== null && policy[name].action !== 'split' && cap < wanted)
        context.addIssue({
          code: 'custom',
          path: ['policy', name, 'cap'],
          message: `is less than \`jobs.resources.${name}\` asks for at first`,
        })
    }
  })
  .meta({ title: 'floe.yaml', description: 'What a person sets for a campaign of floe. Everything is optional.' })

export type ParsedConfig = z.output<typeof configSchema>
