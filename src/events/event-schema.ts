import * as z from 'zod'
import type { EventType } from '../model/event.ts'
import { FAILURE_CLASSES, VERDICTS } from '../model/verdict.ts'

/*
 * What a status event is, version 1, for those who read events with other programs: data/schemas/status-event.schema.json and
 * data/schemas/status-events.asyncapi.json are made from it. A later floe may add keys; readers pass over what they do not know.
 */

const text = (description: string) => z.string().meta({ description })
const whole = (description: string) => z.number().int().meta({ description })
const number = (description: string) => z.number().meta({ description })
const micros = (description: string) => whole(`${description}, UTC microseconds since 1970`)

const line = { v: z.literal(1), at: micros('when the node wrote the line') }
const start = z.looseObject({ file: text("relative to the array's directory"), offset: whole('bytes') })
const log = start.extend({ bytes: whole('kept in the file'), total: whole('written by the job') })

const output = z.looseObject({
  path: text('as the job named it'),
  size_bytes: whole('bytes'),
  digest: z.string().nullable().meta({ description: 'sha256:… of the content; null: a directory' }),
})

const taskStarted = z.looseObject({
  ...line,
  event: z.literal('task started'),
  campaign: text('id'),
  array: text('id'),
  task: whole('index in its array'),
  attempt: whole('of the task, from 1'),
  batch: whole('id'),
  node: text('host name'),
  native_id: z.string().nullable().meta({ description: "the scheduler's id; null: this machine" }),
  pid: whole('of the runner'),
  slots: whole('jobs at a time'),
})

const jobStarted = z.looseObject({
  ...line,
  event: z.literal('job started'),
  job: text('name'),
  revision: whole('of the job'),
  slot: whole('where it runs'),
  started_at: micros('when it started'),
  stdout: start,
  stderr: start,
})

const jobEnded = z.looseObject({
  ...line,
  event: z.literal('job ended'),
  job: text('name'),
  revision: whole('of the job'),
  job_digest: text('of what was asked for'),
  try: whole('from 1'),
  slot: whole('where it ran'),
  started_at: micros('when it started'),
  verdict: z.enum(VERDICTS),
  class: z.enum(FAILURE_CLASSES).nullable(),
  rule: text('what decided, in words'),
  exit: z.number().int().nullable(),
  signal: z.string().nullable(),
  wall_sec: number('seconds'),
  cpu_sec: z.number().nullable().meta({ description: 'seconds' }),
  memory_max_bytes: z.number().int().nullable().meta({ description: 'largest seen; null: too short to be seen' }),
  stdout: log.nullable(),
  stderr: log.nullable(),
  outputs: z.array(output),
  checked: z.boolean().meta({ description: '`check` was asked for and passed' }),
  bytes_read: z
    .looseObject({ local: whole('of its node'), rack: whole('of the rack'), remote: whole('of elsewhere') })
    .optional()
    .meta({ description: 'what was brought from HDFS for it, bytes; absent: nothing' }),
  sandbox: z.string().nullable().meta({ description: "kept directory, relative to the array's" }),
})

const taskEnded = z.looseObject({
  ...line,
  event: z.literal('task ended'),
  reason: z.enum(['done', 'drained', 'cancelled', 'failed']),
  message: z.string().nullable(),
  jobs: whole('that this attempt decided'),
})

const attributes = (type: EventType) => ({
  specversion: z.literal('1.0'),
  id: text('<array>/<task>.<attempt>/<line>'),
  source: text('/campaigns/<campaign id>/sites/<site>'),
  type: z.literal(type),
  subject: text('the job; of a task <array>/<task>'),
  time: text('RFC 3339, by the clock of the node'),
  datacontenttype: z.literal('application/json'),
  partitionkey: text('<campaign id>/<batch>'),
  batch: whole('id'),
  attempt: whole('of the task'),
  line: whole('of the record file, from 1'),
})

export const statusEventSchema = z
  .discriminatedUnion('type', [
    z.looseObject({ ...attributes('org.floe.task.started'), data: taskStarted }),
    z.looseObject({ ...attributes('org.floe.job.started'), data: jobStarted }),
    z.looseObject({ ...attributes('org.floe.job.ended'), data: jobEnded }),
    z.looseObject({ ...attributes('org.floe.task.ended'), data: taskEnded }),
  ])
  .meta({ title: 'Status event of floe', description: 'A record line, told to the world as a CloudEvent.' })

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

/** data/schemas/status-event.schema.json */
export const eventJsonSchema = (): string => json(z.toJSONSchema(statusEventSchema))

/** data/schemas/status-events.asyncapi.json */
export const eventAsyncApi = (): string =>
  json({
    asyncapi: '3.0.0',
    info: {
      title: 'Status events of floe',
      version: '1.0.0',
      description: 'At least once, in order for each key. docs/formats.md says how repeats are known.',
    },
    channels: {
      status: {
        address: 'floe.status.v1',
        messages: { statusEvent: { $ref: '#/components/messages/statusEvent' } },
        bindings: { kafka: { topic: 'floe.status.v1' } },
      },
    },
    operations: {
      tell: { action: 'send', channel: { $ref: '#/channels/status' } },
    },
    components: {
      messages: {
        statusEvent: {
          name: 'statusEvent',
          contentType: 'application/cloudevents+json',
          bindings: { kafka: { key: { type: 'string', description: '<campaign id>/<batch>' } } },
          payload: {
            schemaFormat: 'application/schema+json;version=draft-2020-12',
            schema: z.toJSONSchema(statusEventSchema),
          },
        },
      },
    },
  })
