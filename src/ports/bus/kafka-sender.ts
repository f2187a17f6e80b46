import type { Message } from './bus.ts'
import type { RdkafkaConsumer, RdkafkaError, RdkafkaProducer } from './rdkafka.ts'

/** Between two looks for what the client has heard. */
export const POLL_MS = 5
/** Longest wait for a first answer. */
export const CONNECT_MS = 8000
const FLUSH_MS = 500
/** Longest wait of a reader that ends for a broker that does not answer. */
const FAREWELL_MS = 5000
const HEADERS = [{ 'content-type': 'application/cloudevents+json; charset=UTF-8' }] as const

const GIVEN_UP = new Error('given up before it was answered')

/** A producer, from its first question to its end. After a failure it is ended, and with it all that it was sent. */
export class Sender {
  readonly #producer: Promise<RdkafkaProducer>
  readonly #topic: string
  readonly #failed: Promise<never>
  #fail!: (error: Error) => void
  #round: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined
  #polling: NodeJS.Timeout | undefined
  #sending = 0
  #isOpen = false
  #ended: Promise<void> | undefined

  constructor(producer: Promise<RdkafkaProducer>, topic: string) {
    this.#producer = producer
    this.#topic = topic
    this.#failed = new Promise((_, reject) => {
      this.#fail = reject
    })
    this.#failed.catch(() => {})
    producer.then(
      (opened) => {
        this.#isOpen = true
        // Only of what failed: a report of each message costs more than all else.
        opened.on('delivery-report', (error) => error && this.#fail(error))
      },
      () => {},
    )
  }

  async send(messages: readonly Message[]): Promise<void> {
    const producer = await this.#producer
    if (this.#ended) throw GIVEN_UP
    this.#sending++
    this.#polling ??= setInterval(() => producer.isConnected() && producer.poll(), POLL_MS)
    try {
      for (const { key, value } of messages)
        producer.produce(this.#topic, null, Buffer.from(value), key, null, undefined, HEADERS)
      await Promise.race([this.#nextRound(producer), this.#failed])
    } finally {
      this.#sending--
      if (this.#sending === 0) this.#rest()
    }
  }

  /** A round that begins later than now. One at a time, since each takes a thread of Node's few. */
  #nextRound(producer: RdkafkaProducer): Promise<void> {
    this.#next ??= this.#round.then(() => {
      this.#next = undefined
      const round = this.#answered(producer)
      this.#round = round.catch(() => {})
      return round
    })
    return this.#next
  }

  /** All that was sent is answered, or given up and reported before. */
  async #answered(producer: RdkafkaProducer): Promise<void> {
    let error: RdkafkaError | null = null
    do {
      // In steps, since a producer that flushes cannot be disconnected. That a step was too short is told by words alone (node-rdkafka 3.6).
      error = await new Promise((resolve) => producer.flush(FLUSH_MS, (said) => resolve(said ?? null)))
    } while (error !== null && !this.#ended && producer.isConnected())
    if (error !== null) throw error
    // Reports come by the event loop, too.
    await new Promise(setImmediate)
  }

  /** Nothing more is heard of what is under way. */
  end(): Promise<void> {
    // Of two calls of `disconnect` node-rdkafka 3.6 answers one.
    this.#ended ??= this.#end()
    return this.#ended
  }

  async #end(): Promise<void> {
    this.#rest()
    this.#fail(GIVEN_UP)
    const ended = this.#producer.then(endProducer, () => {})
    // One that still waits for a first answer has nothing to say, and is not waited for.
    if (this.#isOpen) await ended
  }

  #rest(): void {
    clearInterval(this.#polling)
    this.#polling = undefined
  }
}

interface Connectable {
  connect(options: { timeout?: number }, callback: (error?: RdkafkaError | null) => void): unknown
}

export function connected(client: Connectable): Promise<void> {
  return new Promise((resolve, reject) => {
    client.connect({ timeout: CONNECT_MS }, (error) => (error ? reject(error) : resolve()))
  })
}

/** What is under way then is given up soon. */
export function endProducer(producer: RdkafkaProducer): Promise<void> {
  // One that never was connected throws.
  return new Promise((resolve) => (producer.isConnected() ? producer.disconnect(FLUSH_MS, () => resolve()) : resolve()))
}

/** What it has committed is told to the broker before, unless that is away. */
export function endConsumer(consumer: RdkafkaConsumer): Promise<void> {
  const late = new Promise<void>((resolve) => setTimeout(resolve, FAREWELL_MS).unref())
  return Promise.race([new Promise<void>((resolve) => consumer.disconnect(() => resolve())), late])
}
