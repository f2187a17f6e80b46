/*
 * The tables of a campaign, one place for columns: name, DuckDB type, what it means. The Delta schema, docs/formats.md and the
 * empty views are made from it. Times are UTC; integers are signed; no DuckDB hash() in anything durable.
 */

export interface Column {
  readonly name: string
  /** A DuckDB type; see `deltaType` in ports/tables for those that may be used. */
  readonly type: string
  readonly text: string
}

export interface TableShape {
  readonly columns: readonly Column[]
  readonly partitionBy: readonly string[]
}

const column = (name: string, type: string, text: string): Column => ({ name, type, text })

const RESOURCES = 'STRUCT(cpus INTEGER, memory_bytes BIGINT, walltime_sec DOUBLE, gpus INTEGER, nodes INTEGER)'

export const TABLES = {
  jobs: {
    partitionBy: ['bucket'],
    columns: [
      column('job_id', 'VARCHAR', "the user's name of the job; unique in the campaign"),
      column(
        'job_key',
        'BIGINT',
        '63 bits of MD5 of job_id, for joins: its last 8 bytes, little-endian, halved; a collision is rejected at add',
      ),
      column('revision', 'INTEGER', '1, and one more each time the text of the job changed'),
      column('spec_digest', 'VARCHAR', 'MD5 of the text of the job, in hex'),
      column('executable', 'VARCHAR', 'URL, absolute path, or bare name looked up on the site'),
      column('arguments', 'VARCHAR[]', 'with placeholders unresolved; null: the inputs, then the outputs'),
      column(
        'inputs',
        'VARCHAR[]',
        'urls: absolute path, https://, webhdfs://, swebhdfs://, root:path; a trailing slash is a directory',
      ),
      column('input_names', 'VARCHAR[]', 'the path below the job directory that each input is linked under'),
      column(
        'outputs',
        'STRUCT(path VARCHAR, optional BOOLEAN)[]',
        "relative to the campaign's outputs; path may be a glob",
      ),
      column('files', 'VARCHAR[]', 'urls of helper files, staged and digested'),
      column('file_names', 'VARCHAR[]', 'the path below the job directory that each helper file is linked under'),
      column('environment', 'MAP(VARCHAR, VARCHAR)', 'set for the job'),
      column('setup', 'VARCHAR', 'sh, run once a slot before the first job'),
      column('container', 'VARCHAR', 'url of the image to run in; null: none'),
      column('stdin', 'VARCHAR', 'name of the input that is standard input; null: empty'),
      column('stdout', 'VARCHAR', 'path of the output that is standard output; null: the log'),
      column('check', 'VARCHAR', 'sh, run after exit 0; if it fails the job has failed'),
      column('resources', RESOURCES, 'asked by one job'),
      column('labels', 'MAP(VARCHAR, VARCHAR)', 'for selections and {label:name}'),
      column('priority', 'INTEGER', 'higher first; 0 by default'),
      column('site', 'VARCHAR', 'the only site that may run it; null: any'),
      column('parent', 'VARCHAR', 'name of a group that the job belongs to'),
      column('after', 'VARCHAR[]', 'job ids that have to succeed first'),
      column('cache', 'BOOLEAN', 'whether an equal earlier result may answer the job'),
      column('publish', 'VARCHAR', 'files, pack or table'),
      column('input_hash', 'VARCHAR', 'MD5 of the sorted distinct input urls, in hex'),
      column('bucket', 'INTEGER', 'input_hash mod 64; the partition'),
      column('withdrawn', 'BOOLEAN', 'taken out by `remove`'),
      column('added_at', 'TIMESTAMPTZ', 'when this revision was added'),
      column('source', 'VARCHAR', 'job file and line'),
    ],
  },
  files: {
    partitionBy: [],
    columns: [
      column('url', 'VARCHAR', 'as in jobs.inputs, jobs.files, and executables that are staged; each once'),
      column('kind', 'VARCHAR', 'input, file, program or image'),
      column('size_bytes', 'BIGINT', 'null: not looked up or missing'),
      column('mtime', 'TIMESTAMPTZ', 'as looked up'),
      column('digest', 'VARCHAR', 'see digest_kind; null: not known'),
      column('digest_kind', 'VARCHAR', 'declared, checksum, hashed, size_mtime'),
      column('missing', 'BOOLEAN', 'looked for and not found'),
      column('sites', 'VARCHAR[]', 'where it lies'),
      column('hosts', 'VARCHAR[]', 'always null: `nodes` took its place'),
      column('seen_at', 'TIMESTAMPTZ', 'when it was looked up'),
      column(
        'nodes',
        'MAP(VARCHAR, BIGINT)',
        'HDFS: bytes of it that lie at each node, named by rack and host; null: not asked, or not known',
      ),
      column('nodes_at', 'TIMESTAMPTZ', 'when HDFS said so'),
    ],
  },
  plan: {
    partitionBy: [],
    columns: [
      column('plan_id', 'BIGINT', 'one more for each planning; a plan covers the jobs that were then to be run'),
      column('position', 'BIGINT', 'place in the affinity order of that plan, from 0'),
      column('job_id', 'VARCHAR', ''),
      column('job_key', 'BIGINT', ''),
      column('revision', 'INTEGER', ''),
    ],
  },
  batches: {
    partitionBy: [],
    columns: [
      column('batch_id', 'BIGINT', ''),
      column('plan_id', 'BIGINT', ''),
      column('position_from', 'BIGINT', 'first position of the range'),
      column('position_to', 'BIGINT', 'one past its last position'),
      column('jobs', 'BIGINT', 'how many jobs'),
      column('input_bytes', 'BIGINT', 'of its distinct inputs'),
      column('seconds', 'DOUBLE', 'predicted; null: not known'),
      column('site', 'VARCHAR', 'the site it was cut for'),
      column(
        'resource_class',
        'VARCHAR',
        'JSON of what its jobs have in common: cpus, memory_bytes, walltime_sec, gpus, setup, container, publish; where it was measured task_sec, the walltime of a task; for scouts and after some failures jobs_max, the most jobs of a batch, and avoid, a node that they are kept from',
      ),
      column('array_id', 'VARCHAR', 'null until staged'),
      column('task', 'INTEGER', 'index in that array'),
      column('state', 'VARCHAR', 'cut, staged, submitted, ended, dropped'),
      column('native_id', 'VARCHAR', "the scheduler's id of the array"),
      column('updated_at', 'TIMESTAMPTZ', ''),
    ],
  },
  attempts: {
    partitionBy: [],
    columns: [
      column('job_id', 'VARCHAR', ''),
      column('job_key', 'BIGINT', ''),
      column('revision', 'INTEGER', 'revision that ran'),
      column('try', 'INTEGER', 'the how-manieth try of this job, from 1'),
      column(
        'job_digest',
        'VARCHAR',
        'SHA-256, hex: program, helper files, setup, container, arguments, environment, input digests',
      ),
      column('verdict', 'VARCHAR', 'succeeded, failed, cancelled, lost'),
      column('class', 'VARCHAR', 'failure class; null when succeeded'),
      column('rule', 'VARCHAR', 'the rule that decided, in words'),
      column('evidence', 'VARCHAR', 'record, accounting, queue, heartbeat, absence, reuse'),
      column('next', 'VARCHAR', 'what the policy made of it: done, retry, hold, give up'),
      column('superseded', 'BOOLEAN', 'a verdict was there before; kept, not published'),
      column('exit_code', 'INTEGER', ''),
      column('signal', 'VARCHAR', ''),
      column('wall_sec', 'DOUBLE', ''),
      column('cpu_sec', 'DOUBLE', ''),
      column('memory_max_bytes', 'BIGINT', 'sampled; null for the shortest'),
      column('bytes_local', 'BIGINT', 'brought from HDFS for it, of disks of its node; null: nothing was brought'),
      column('bytes_rack', 'BIGINT', 'of other nodes of the rack'),
      column('bytes_remote', 'BIGINT', 'of elsewhere'),
      column('cpus', 'INTEGER', 'asked'),
      column('memory_bytes', 'BIGINT', 'asked'),
      column('walltime_sec', 'DOUBLE', 'asked'),
      column(
        'started_at',
        'TIMESTAMPTZ',
        'by the clock of the node; null: its task could not work, and the try does not count',
      ),
      column('ended_at', 'TIMESTAMPTZ', 'by the clock of the node'),
      column('site', 'VARCHAR', ''),
      column('node', 'VARCHAR', ''),
      column('slot', 'INTEGER', ''),
      column('batch_id', 'BIGINT', ''),
      column('array_id', 'VARCHAR', ''),
      column('task', 'INTEGER', ''),
      column('task_attempt', 'INTEGER', ''),
      column('native_id', 'VARCHAR', ''),
      column(
        'record_end',
        'BIGINT',
        'byte offset behind its line in records/<task>.<task_attempt>; harvest goes on from the largest',
      ),
      column(
        'log_stdout',
        'STRUCT(file VARCHAR, "offset" BIGINT, bytes BIGINT, total BIGINT)',
        'in logs/ of the array',
      ),
      column('log_stderr', 'STRUCT(file VARCHAR, "offset" BIGINT, bytes BIGINT, total BIGINT)', ''),
      column('sandbox', 'VARCHAR', 'kept sandbox of a failed job'),
      column('reused_from', 'VARCHAR', 'campaign and job whose result answered this one'),
      column('published_at', 'TIMESTAMPTZ', 'when the row was committed'),
    ],
  },
  results: {
    partitionBy: [],
    columns: [
      column('job_digest', 'VARCHAR', ''),
      column('job_id', 'VARCHAR', ''),
      column('job_key', 'BIGINT', ''),
      column('revision', 'INTEGER', ''),
      column('output', 'VARCHAR', "path below the campaign's outputs"),
      column('url', 'VARCHAR', 'where the file lies; null when packed or in the merged table only'),
      column(
        'pack',
        'VARCHAR',
        'absolute path of the tar (publish: pack) or of the file of contents (publish: table) that holds it',
      ),
      column('offset_bytes', 'BIGINT', 'of its content in that file'),
      column('size_bytes', 'BIGINT', ''),
      column('digest', 'VARCHAR', 'sha256:… of the content; null for a directory'),
      column('site', 'VARCHAR', ''),
      column('check', 'BOOLEAN', 'true: passed; null: none asked'),
      column('published_at', 'TIMESTAMPTZ', ''),
    ],
  },
  requests: {
    partitionBy: [],
    columns: [
      column('request_id', 'VARCHAR', 'UUIDv7 of the command'),
      column('seq', 'BIGINT', 'one more for each request; order rests on it'),
      column('action', 'VARCHAR', 'hold, release, cancel, retry, remove'),
      column('job_id', 'VARCHAR', ''),
      column('job_key', 'BIGINT', ''),
      column('revision', 'INTEGER', ''),
      column('after_try', 'INTEGER', 'tries the job had when asked; cancel and retry speak of that try only'),
      column('who', 'VARCHAR', 'user@host'),
      column('why', 'VARCHAR', ''),
      column('asked_at', 'TIMESTAMPTZ', ''),
    ],
  },
} as const satisfies Record<string, TableShape>

/** Tables with a fixed shape; `merged` takes its columns from the outputs. */
export type FixedTable = keyof typeof TABLES
export type TableName = FixedTable | 'merged'
