import * as z from 'zod'
import { bytes, count, seconds, text } from './schema.ts'

/*
 * ~/.config/floe/sites.yaml, version 1: the clusters of a person. It names hosts, keys and accounts, so it stays out of campaigns and is
 * for its owner only. This schema is the one place for its options; docs/config.md and data/schemas/sites.schema.json are made from it.
 */

const absolute = z.string().regex(/^\/[^\n\0]*$/, 'must be an absolute path')
const word = z.string().regex(/^[^\s\0]+$/, 'must be one word')

const address = z.string().regex(/^[A-Za-z0-9._-]+(:\d+)?$/, 'must be a host, or host:port')

const ssh = z.union([
  word.meta(text('user@host, or a name of ~/.ssh/config.')),
  z.strictObject({
    to: word.meta(text('user@host, or a name of ~/.ssh/config.')),
    port: z.number().int().min(1).max(65_535).optional().meta(text('Port of the SSH server.')),
    identity: z.string().min(1).optional().meta(text('File of the private key.')),
    jump: word.optional().meta(text('Hosts on the way, as of ProxyJump: user@host:port, parted by commas.')),
    agent: z.string().min(1).optional().meta(text('Socket of an SSH agent; `none`: no agent.')),
    known_hosts: z.string().min(1).optional().meta(text('A file of known hosts besides those of SSH.')),
    channels: count(1).optional().meta(text('Channels at once on the one connection; some sites allow 1.', 'channels')),
  }),
])

const simulate = z.strictObject({
  seed: z.number().int().default(1).meta(text('The same seed gives the same waiting, lengths and failures.')),
  queue_delay: seconds.prefault('10s').meta(text('How long an array waits, half of it to one and a half.', 'seconds')),
  job: seconds.prefault('1s').meta(text('How long a job takes, half of it to one and a half.', 'seconds')),
  failures: z.number().min(0).max(1).default(0).meta(text('Share of the jobs that fail.', '0 to 1')),
})

/** The rule of a simulated site that says none. */
export const usualRule = () => simulate.parse({})

const site = z.strictObject({
  connector: z
    .enum(['slurm', 'pbs', 'sge', 'local', 'simulated'])
    .meta(
      text(
        'The scheduler: slurm, pbs (OpenPBS, PBS Pro), sge (Grid Engine); local: a machine without one, floe brings its own; simulated: nothing is run, for rehearsals.',
      ),
    ),
  ssh: ssh
    .optional()
    .meta(
      text('Where its commands are run: user@host, a name of ~/.ssh/config, or a mapping. Absent: on this machine.'),
    ),
  scratch: absolute
    .optional()
    .meta(
      text(
        'A directory of yours that login and compute nodes share; floe keeps to `floe/` in it. Needed, but not with `simulated`.',
      ),
    ),
  roots: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_-]+$/, 'must be a word of two or more letters'), absolute)
    .default({})
    .meta(
      text('Directories of the site that are read in place: with `era5: /gpfs/era5` a job may say `era5:1982/01.nc`.'),
    ),
  queue: word.nullable().default(null).meta(text("The queue (Slurm's partition); absent: the site's default.")),
  account: word.nullable().default(null).meta(text('The account or project that pays.')),
  limits: z
    .strictObject({
      queued: count(1)
        .nullable()
        .default(null)
        .meta(text('Tasks of floe at the site, waiting or running, at most.', 'tasks')),
      array: count(1).nullable().default(null).meta(text('Tasks of one array at most.', 'tasks')),
    })
    .prefault({})
    .meta(text('Below what the site itself allows.')),
  quota: bytes
    .nullable()
    .default(null)
    .meta(
      text(
        "What floe may keep in scratch, arrays and cache of all your campaigns together: beyond it `floe clean` frees the oldest of the cache and of its own campaign's arrays, and says which campaigns have the rest.",
        'bytes',
      ),
    ),
  task: z
    .strictObject({
      cpus: count(1).default(1).meta(text('Cores of a task; it runs as many jobs side by side as fit.', 'cores')),
      walltime: seconds
        .nullable()
        .default(null)
        .meta(
          text(
            'Walltime of a task; it stops starting jobs before that. Absent: an hour; with `local` none.',
            'seconds',
          ),
        ),
    })
    .prefault({})
    .meta(text('What one task asks for.')),
  slots: count(1)
    .nullable()
    .default(null)
    .meta(
      text(
        'Of `local` and `simulated`: cores that tasks may use at a time; absent: all of the machine, 16 of a simulated one.',
        'cores',
      ),
    ),
  node: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .meta(
      text('A Node of the site: an absolute path, or a line such as `module load nodejs`. Absent: floe brings one.'),
    ),
  pe: word.nullable().default(null).meta(text('Grid Engine: the parallel environment for tasks of several cores.')),
  memory: word
    .nullable()
    .default(null)
    .meta(text('Grid Engine: the resource that limits memory, such as h_vmem or mem_free.')),
  gpu: word.nullable().default(null).meta(text('Grid Engine: the resource that gives GPUs.')),
  container: z
    .string()
    .regex(/^(?:apptainer|singularity|\/[^\n\0]*)$/, 'must be apptainer, singularity or an absolute path')
    .nullable()
    .default(null)
    .meta(text('What runs images of jobs with `container:` on its nodes: apptainer, singularity, or the path of one.')),
  hdfs_hosts: z
    .record(address, address)
    .nullable()
    .default(null)
    .meta(
      text(
        'Where hosts of HDFS are for its nodes, as `hosts` of `hdfs`, which holds where commands are run here. Absent over SSH: its nodes resolve them.',
      ),
    ),
  data_nodes_of: z
    .array(address)
    .default([])
    .meta(
      text(
        'HDFS clusters whose data nodes its nodes are, named as in addresses or in `hdfs`: `[namenode:9870]`. Batches are made for, and told of, the nodes that hold their inputs.',
      ),
    ),
  setup: z
    .array(z.string().min(1))
    .default([])
    .meta(text('Lines of sh that put the commands of the scheduler on PATH.')),
  options: z.array(word).default([]).meta(text('More words for the submit command, such as `--constraint=avx2`.')),
  interval: seconds.prefault('10s').meta(text('Between two looks at the site.', 'seconds')),
  simulate: simulate.optional().meta(text('Of `simulated`: the rule by which its tasks wait and end.')),
})

/** Keys that say nothing of a machine without a scheduler of its own. */
const OF_SCHEDULERS = ['queue', 'account', 'pe', 'memory', 'gpu', 'options'] as const
/** Keys that say nothing where nothing is run. */
const OF_PLACES = ['ssh', 'scratch', 'quota', 'node', 'container', 'hdfs_hosts', 'data_nodes_of', 'setup'] as const

const checked = site.superRefine((given, context) => {
  const { connector } = given
  const wrong = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message })
  const refuse = (key: keyof typeof given) => {
    const said = given[key] ?? []
    if (!Array.isArray(said) || said.length > 0) wrong(key, `says nothing with \`connector: ${connector}\``)
  }
  if (connector === 'simulated') for (const key of OF_PLACES) refuse(key)
  else {
    if (given.scratch === undefined) wrong('scratch', 'is missing')
    refuse('simulate')
  }
  if (connector === 'local' || connector === 'simulated') for (const key of OF_SCHEDULERS) refuse(key)
  else if (given.slots !== null) wrong('slots', 'is for `connector: local` and `simulated`')
})

const hdfs = z.strictObject({
  name_nodes: z
    .array(address)
    .default([])
    .meta(text('All name nodes, `host:port` of HTTP, where one of several is active. Absent: that of the address.')),
  user: word
    .nullable()
    .default(null)
    .meta(text('The user that a cluster without Kerberos believes. Absent: `$HADOOP_USER_NAME`, or who you are here.')),
  kerberos: z
    .boolean()
    .default(false)
    .meta(
      text(
        'Log in by Kerberos, with the ticket that `kinit` got; the package `kerberos` is installed beside floe for it.',
      ),
    ),
  token: absolute.nullable().default(null).meta(text('A file that holds a delegation token, instead of a user.')),
  ca: absolute
    .nullable()
    .default(null)
    .meta(
      text(
        'Of swebhdfs: a file with the certificates of who signed those of the cluster, PEM; tasks are given it, too. Absent: those that Node trusts.',
      ),
    ),
  hosts: z
    .record(address, address)
    .default({})
    .meta(
      text(
        'Where hosts of the cluster are for this machine, if it cannot resolve or reach them: `dn1: 10.0.0.5`, `dn2:9864: localhost:7001`.',
      ),
    ),
  cache: bytes.prefault('10GB').meta(text('What may stay on this machine of the tables of campaigns there.', 'bytes')),
})

const file = z.string().min(1)

const kafka = z.strictObject({
  brokers: z.array(word).min(1).meta(text('`host:port` of brokers, one or more.')),
  topic: z
    .string()
    .regex(/^[\w.-]{1,249}$/, 'must be letters, digits, `.`, `_` and `-`')
    .default('floe.status.v1')
    .meta(text('The topic of events; made where that is allowed.')),
  partitions: count(1).default(6).meta(text('Of a topic that is made.', 'partitions')),
  tls: z
    .union([
      z.boolean(),
      z.strictObject({
        ca: file.optional().meta(text('File with the certificates of who signed those of the brokers, PEM.')),
        certificate: file.optional().meta(text('File with your own certificate, PEM.')),
        key: file.optional().meta(text('File with its key, PEM.')),
      }),
    ])
    .default(false)
    .meta(text('true: encrypted, with the certificates that this machine trusts; or a mapping that names others.')),
  sasl: z
    .strictObject({
      mechanism: z
        .enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'GSSAPI', 'OAUTHBEARER'])
        .meta(text('How one logs in.')),
      user: word.optional().meta(text('Name of the user.')),
      password_file: file.optional().meta(text('File whose first line is the password, readable by you alone.')),
    })
    .nullable()
    .default(null)
    .meta(text('Login, where the brokers ask for one.')),
  options: z
    .record(word, z.union([z.string(), z.number(), z.boolean()]))
    .default({})
    .meta(text('More settings of librdkafka, by their names there.')),
})

export const sitesSchema = z
  .strictObject({
    sites: z.record(z.string().regex(/^[A-Za-z][\w.-]*$/, 'must be a word'), checked).prefault({}),
    hdfs: z.record(address, hdfs).prefault({}),
    kafka: kafka.nullable().default(null).meta(text('Where status events are told; absent: nowhere.')),
  })
  .meta({ title: 'sites.yaml', description: 'The clusters of a person.' })

export type ParsedSites = z.output<typeof sitesSchema>
export type ParsedSite = ParsedSites['sites'][string]
export type ParsedHdfs = ParsedSites['hdfs'][string]

/** An HDFS that sites.yaml says nothing of. */
export const usualHdfs = (): ParsedHdfs => hdfs.parse({})
