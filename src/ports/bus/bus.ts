/** One message: those of one key stay in order. */
export interface Message {
  readonly key: string
  readonly value: string | Uint8Array
}

/** A message as it is read; `value` null where there is none. */
export interface Received {
  readonly key: string
  readonly value: Buffer | null
}

/** Messages that came together; none when only `waiting` has changed. Those that are not `done` come again to the group after it was away. */
export interface Delivery {
  readonly messages: readonly Received[]
  /** Why nothing can come now, in words; null: something may. */
  readonly waiting: string | null
  done(): Promise<void>
}

/** Where a group begins: where it was (a new one: at the end), at what is kept first, or at what comes from now on. */
export type From = 'committed' | 'earliest' | 'latest'

/**
 * Carries messages between machines, at least once and in order for each key: what is told twice comes twice, what a reader did not finish
 * comes again. Throws BUS_UNREACHABLE where trying again may help, BUS_REFUSED where a person has to mend something.
 */
export interface Bus {
  /** Of whom it speaks, for messages: `topic floe.status.v1 at broker:9092`. */
  readonly where: string
  /**
   * Resolves when the bus keeps all of them. After an error some may be kept, and all are to be sent again before any later one of their
   * keys, so that order holds.
   */
  send(messages: readonly Message[]): Promise<void>
  /** Ends with `signal`. Of several readers of one group each message goes to one. */
  read(wish: { group: string; from: From; signal: AbortSignal }): AsyncIterable<Delivery>
  close(): Promise<void>
}
