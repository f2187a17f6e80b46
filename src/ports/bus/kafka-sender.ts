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

/** Messages that were sent together. */
class Parcel {
  readonly settled: Promise<void>
  #left: number
  #resolve!: () => void
  #reject!: (error: Error) => void

  constructor(messages: number) {
    this.#left = messages
    this.settled = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  heard(error: Error | null): void {
    this.#left--
    if (error) this.#reject(error)
    else if (this.#left === 0) this.#resolve()
  }
}

/** A producer, from its first question to its end. After a failure it is ended, and with it all that it was sent. */
export class Sender {
  readonly #producer: Promise<RdkafkaProducer>
  readonly #topic: string
  readonly #parcels = new Set<Parcel>()
  #polling: NodeJS.Timeout | undefined
  #isOpen = false
  #ended: Promise<void> | undefined

  constructor(producer: Promise<RdkafkaProducer>, topic: string) {
    this.#producer = producer
    this.#topic = topic
    producer.then(
      (opened) => {
        this.#isOpen = true
        opened.on('delivery-report', (error, { opaque }) => (opaque as Parcel).heard(error))
      },
      () => {},
    )
  }

  async send(messages: readonly Message[]): Promise<void> {
    const producer = await this.#producer
    if (this.#ended) throw GIVEN_UP
    const parcel = new Parcel(messages.length)
    this.#parcels.add(parcel)
    this.#polling ??= setInterval(() => producer.isConnected() && producer.poll(), POLL_MS)
    try {
      for (const { key, value } of messages)
        producer.produce(this.#topic, null, Buffer.from(value), key, null, parcel, HEADERS)
      await parcel.settled
    } finally {
      this.#parcels.delete(parcel)
      if (this.#parcels.size === 0) this.#rest()
    }
  }

  /** Nothing more is heard of what is under way. */
  end(): Promise<void> {
    // Of two calls of `disconnect` node-rdkafka 3.6 answers one.
    this.#ended ??= this.#end()
    return this.#ended
  }

  async #end(): Promise<void> {
    this.#rest()
    for (const parcel of this.#parcels) parcel.heard(GIVEN_UP)
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
