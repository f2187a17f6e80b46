import { FloeError } from '../../model/errors.ts'
import type { Bus, Delivery, From, Message } from './bus.ts'
import { CONNECT_MS, connected, endConsumer, endProducer, POLL_MS, Sender } from './kafka-sender.ts'
import {
  loadRdkafka,
  type Rdkafka,
  type RdkafkaConsumer,
  type RdkafkaError,
  type RdkafkaLog,
  type RdkafkaMessage,
  type RdkafkaProducer,
  type TopicPartition,
} from './rdkafka.ts'

export interface KafkaOptions {
  /** `host:port`, parted by commas. */
  readonly brokers: string
  readonly topic: string
  /** Of a topic that is made. */
  readonly partitions: number
  /** More settings of librdkafka: security and whatever a site asks for. */
  readonly settings: Readonly<Record<string, string | number | boolean>>
}

/** Longest wait for the answer to a message. */
const SEND_MS = 30_000
const READ_WAIT_MS = 250
/** How often the client says which brokers are connected. */
const STATS_MS = 2000
/** Messages of a delivery at most. */
const DELIVERY_MAX = 2000
/** librdkafka's logical offsets. */
const BEGINNING = -2
const END = -1

/**
 * A topic of Kafka, which is made on the first call where that is allowed. Nothing is loaded, and nobody is asked, before the first
 * call. After a failed `send` the client is made anew by the next one, so that what was left in its queues never overtakes.
 */
export function kafkaBus(options: KafkaOptions, load: () => Rdkafka = loadRdkafka): Bus {
  return new KafkaBus(options, load)
}

class KafkaBus implements Bus {
  readonly where: string
  readonly #options: KafkaOptions
  readonly #load: () => Rdkafka
  #loaded: Rdkafka | undefined
  #sender: Sender | undefined
  #troubles = new Troubles()

  constructor(options: KafkaOptions, load: () => Rdkafka) {
    this.#options = options
    this.#load = load
    this.where = `topic ${options.topic} at ${options.brokers}`
  }

  async send(messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return
    this.#sender ??= new Sender(this.#openProducer(), this.#options.topic)
    const sender = this.#sender
    try {
      await sender.send(messages)
    } catch (error) {
      if (this.#sender === sender) this.#sender = undefined
      void sender.end()
      throw this.#told('send to', error)
    }
  }

  async *read({ group, from, signal }: { group: string; from: From; signal: AbortSignal }): AsyncIterable<Delivery> {
    let consumer: RdkafkaConsumer
    try {
      await this.#greet()
      consumer = await this.#openConsumer(group, from)
    } catch (error) {
      throw this.#told('read', error)
    }
    let [isUp, waiting] = [true, null as string | null]
    consumer.on('event.stats', ({ message }) => {
      isUp = isAnyUp(message)
    })
    let coming = this.#consume(consumer)
    try {
      while (!signal.aborted) {
        const messages = await coming
        // The next come while these are dealt with.
        coming = this.#consume(consumer)
        coming.catch(() => {})
        const why = isUp ? null : `${this.where} does not answer: ${this.#troubles.last ?? 'no broker is connected'}`
        if (messages.length === 0 && (why === null) === (waiting === null)) continue
        waiting = why
        const ends = endsOf(messages)
        yield {
          messages: messages.map(({ key, value }) => ({ key: String(key ?? ''), value })),
          waiting,
          // Not waited for, since brokers may be away: the end of the consumer waits for what is under way.
          done: async () => void (ends.length > 0 && consumer.commit(ends)),
        }
      }
    } finally {
      await coming.catch(() => {})
      await endConsumer(consumer)
    }
  }

  async close(): Promise<void> {
    const sender = this.#sender
    this.#sender = undefined
    await sender?.end()
  }

  get #client(): Rdkafka {
    this.#loaded ??= this.#load()
    return this.#loaded
  }

  get #settings(): Record<string, unknown> {
    return {
      'client.id': 'floe',
      'metadata.broker.list': this.#options.brokers,
      // What it logs is heard as events, nothing is printed; what befalls a connection is of level 6.
      log_level: 6,
      ...this.#options.settings,
    }
  }

  async #openProducer(): Promise<RdkafkaProducer> {
    const { Producer } = this.#client
    const producer = new Producer({
      'enable.idempotence': true,
      'compression.codec': 'lz4',
      'linger.ms': 20,
      'message.timeout.ms': SEND_MS,
      'queue.buffering.max.messages': 1_000_000,
      dr_cb: true,
      'delivery.report.only.error': true,
      ...this.#settings,
    })
    await this.#connect(producer)
    await this.#makeTopic(producer)
    return producer
  }

  /** A client that waits for a first answer does not hear why none comes, unless it is polled, which only producers can be. */
  async #connect(producer: RdkafkaProducer): Promise<void> {
    this.#troubles = new Troubles()
    const polling = setInterval(() => producer.isConnected() && producer.poll(), POLL_MS)
    try {
      await new Promise<void>((resolve, reject) => {
        producer.on('event.log', (line) => {
          this.#troubles.note(line)
          if (this.#troubles.isHopeless) reject(new Error('no waiting helps'))
        })
        connected(producer).then(resolve, reject)
      })
    } catch (error) {
      void endProducer(producer)
      throw error
    } finally {
      clearInterval(polling)
    }
  }

  async #greet(): Promise<void> {
    const producer = new this.#client.Producer(this.#settings)
    await this.#connect(producer)
    await this.#makeTopic(producer)
    await endProducer(producer)
  }

  /** Who may not make topics may still write to one that is there. */
  async #makeTopic(producer: RdkafkaProducer): Promise<void> {
    const { topic, partitions } = this.#options
    const isThere = await new Promise<boolean>((resolve) => {
      producer.getMetadata({ topic, timeout: CONNECT_MS }, (error, metadata) => {
        const found = error ? undefined : metadata.topics.find(({ name }) => name === topic)
        resolve(found !== undefined && found.partitions.length > 0)
      })
    })
    if (isThere) return
    await new Promise<void>((resolve) => {
      const admin = this.#client.AdminClient.create(this.#settings)
      admin.createTopic({ topic, num_partitions: partitions, replication_factor: -1 }, CONNECT_MS, () => {
        admin.disconnect()
        resolve()
      })
    })
  }

  async #openConsumer(group: string, from: From): Promise<RdkafkaConsumer> {
    const { KafkaConsumer, CODES } = this.#client
    const start = { earliest: BEGINNING, latest: END, committed: undefined }[from]
    const consumer: RdkafkaConsumer = new KafkaConsumer(
      {
        'group.id': group,
        'enable.auto.commit': false,
        'allow.auto.create.topics': false,
        'statistics.interval.ms': STATS_MS,
        rebalance_cb: (error: RdkafkaError, partitions: readonly TopicPartition[]) => {
          if (error.code !== CODES.ERRORS.ERR__ASSIGN_PARTITIONS) consumer.unassign()
          else consumer.assign(start === undefined ? partitions : partitions.map((one) => ({ ...one, offset: start })))
        },
        ...this.#settings,
      },
      { 'auto.offset.reset': from === 'earliest' ? 'earliest' : 'latest' },
    )
    consumer.on('event.log', (line) => this.#troubles.note(line))
    await connected(consumer)
    consumer.setDefaultConsumeTimeout(READ_WAIT_MS)
    consumer.subscribe([this.#options.topic])
    return consumer
  }

  #consume(consumer: RdkafkaConsumer): Promise<RdkafkaMessage[]> {
    return new Promise((resolve, reject) => {
      consumer.consume(DELIVERY_MAX, (error, messages) => {
        if (!error) resolve(messages)
        // Brokers that are away are looked for by the client itself.
        else if (isPassing(error)) resolve([])
        else reject(this.#told('read', error))
      })
    })
  }

  #told(tried: string, error: unknown): Error {
    if (error instanceof FloeError) return error
    const { code, message } = error as RdkafkaError
    const said = this.#troubles.last ?? message
    if (isPassing({ code, message }) && !this.#troubles.isHopeless) {
      return new FloeError('BUS_UNREACHABLE', `Could not ${tried} ${this.where}: ${said}`, { cause: error })
    }
    return new FloeError('BUS_REFUSED', `Could not ${tried} ${this.where}: ${said}`, { cause: error })
  }
}

/** What the client said of its brokers since it was made: the reason behind `broker transport failure`. */
class Troubles {
  last: string | undefined

  note({ fac, message }: RdkafkaLog): void {
    if (fac !== 'FAIL' && fac !== 'FATAL') return
    // `[thrd:host:9092/bootstrap]: host:9092/bootstrap: Connect … failed: Connection refused (after 1ms in state CONNECT, 2 … suppressed)`
    const said = message.replace(/^(\[thrd:[^\]]*\]: )?/, '').replace(/ \(after \d+ms in state .*\)$/, '')
    this.last = /state APIVERSION_QUERY/.test(message) ? `${said}; does it want TLS?` : said
  }

  get isHopeless(): boolean {
    return /authentication|certificate|SSL handshake failed/i.test(this.last ?? '')
  }
}

/** Codes of librdkafka that may pass: broker away, name unknown for now, timed out, election, not enough replicas. */
const PASSING = new Set([-195, -193, -192, -187, -185, -180, -168, -167, 5, 6, 7, 13, 14, 15, 16, 19, 20, 27])

/** What becomes of messages is told by words alone (node-rdkafka 3.6), with code -1: those of the codes above. */
const isPassing = ({ code, message }: { readonly code: number; readonly message: string }): boolean =>
  PASSING.has(code) || (code === -1 && /timed out|transport|disconnected|leader|coordinator|replicas/i.test(message))

/** https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md */
function isAnyUp(statistics: string): boolean {
  const { brokers } = JSON.parse(statistics) as { brokers: Record<string, { state: string; nodeid: number }> }
  // The group's coordinator is listed besides, by another name.
  return Object.values(brokers).some(({ state }) => state === 'UP')
}

/** Offsets behind the last message of each partition. */
function endsOf(messages: readonly RdkafkaMessage[]): TopicPartition[] {
  const ends = new Map<number, TopicPartition>()
  for (const { topic, partition, offset } of messages) ends.set(partition, { topic, partition, offset: offset + 1 })
  return [...ends.values()]
}
