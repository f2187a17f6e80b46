import { createRequire } from 'node:module'
import { FloeError } from '../../model/errors.ts'

/* What is used of node-rdkafka, https://github.com/Blizzard/node-rdkafka: an optional peer, loaded when Kafka is configured and asked for. */

export interface RdkafkaError extends Error {
  readonly code: number
}

export interface RdkafkaMessage {
  readonly value: Buffer | null
  readonly key?: Buffer | string | null
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
  readonly offset?: number
}

type Callback<T = unknown> = (error: RdkafkaError | null | undefined, value: T) => void
type Settings = Readonly<Record<string, unknown>>

interface Client {
  connect(options: { timeout?: number }, callback: Callback): this
  isConnected(): boolean
  on(event: 'event.log', listener: (line: RdkafkaLog) => void): this
}

export interface RdkafkaLog {
  /** `FAIL`, `FATAL`, … */
  readonly fac: string
  readonly message: string
}

export interface RdkafkaProducer extends Client {
  disconnect(flushMs: number, callback: Callback): this
  produce(
    topic: string,
    partition: number | null,
    value: Buffer | null,
    key: string,
    timestamp: number | null,
    opaque: undefined,
    headers?: readonly Readonly<Record<string, string>>[],
  ): unknown
  poll(): this
  flush(timeoutMs: number, callback: Callback): this
  getMetadata(
    options: { topic: string; timeout: number },
    callback: Callback<{
      readonly topics: readonly { readonly name: string; readonly partitions: readonly unknown[] }[]
    }>,
  ): void
  on(event: 'event.log', listener: (line: RdkafkaLog) => void): this
  on(event: 'delivery-report', listener: (error: RdkafkaError | null) => void): this
}

export interface RdkafkaConsumer extends Client {
  on(event: 'event.log', listener: (line: RdkafkaLog) => void): this
  on(event: 'event.stats', listener: (statistics: { readonly message: string }) => void): this
  disconnect(callback: Callback): this
  subscribe(topics: readonly string[]): this
  assign(partitions: readonly TopicPartition[]): this
  unassign(): this
  consume(count: number, callback: Callback<RdkafkaMessage[]>): void
  setDefaultConsumeTimeout(milliseconds: number): void
  commit(offsets: readonly TopicPartition[]): this
}

export interface Rdkafka {
  readonly Producer: new (settings: Settings, topic?: Settings) => RdkafkaProducer
  readonly KafkaConsumer: new (settings: Settings, topic?: Settings) => RdkafkaConsumer
  readonly AdminClient: {
    create(settings: Settings): {
      createTopic(
        topic: { topic: string; num_partitions: number; replication_factor: number },
        timeout: number,
        callback: (error?: RdkafkaError) => void,
      ): void
      disconnect(): void
    }
  }
  readonly CODES: { readonly ERRORS: Readonly<Record<string, number>> }
}

/** Throws CONFIG_INVALID where it is not installed, or was for another Node. */
export function loadRdkafka(): Rdkafka {
  const load = createRequire(import.meta.url)
  try {
    return load('node-rdkafka') as Rdkafka
  } catch (cause) {
    const why = (cause as Error).message.split('\n')[0]
    throw new FloeError('CONFIG_INVALID', `Kafka is asked for, and its client cannot be loaded: ${why}`, {
      hint: 'Install it beside floe: `npm install node-rdkafka` (it compiles for a minute or two; without `-g` if floe is not global).',
      cause,
    })
  }
}
