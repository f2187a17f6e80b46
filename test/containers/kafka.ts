import { createRequire } from 'node:module'
import { join } from 'node:path'
import { kafkaBus } from '../../src/ports/bus/kafka.ts'
import type { Rdkafka } from '../../src/ports/bus/rdkafka.ts'
import { freePorts } from './free-ports.ts'
import type { Machine } from './machine.ts'
import { openFleet } from './site.ts'

/** What NODE_PATH is for a floe that finds node-rdkafka. */
export const CLIENTS = join(import.meta.dirname, 'packages/node_modules')

export interface KafkaSite {
  readonly broker: Machine
  /** `127.0.0.1:port` */
  readonly address: string
  bus(topic: string, settings?: Readonly<Record<string, string>>): ReturnType<typeof kafkaBus>
  stop(): Promise<void>
}

/** One broker of Kafka 4.3.1; see infra/images/kafka/start.sh. `clients`: where node-rdkafka is for a bundle of this. */
export async function startKafka(
  security: 'PLAINTEXT' | 'SASL_SSL' = 'PLAINTEXT',
  clients = CLIENTS,
): Promise<KafkaSite> {
  const load = (): Rdkafka => createRequire(join(clients, '..', 'package.json'))('node-rdkafka') as Rdkafka
  const [port] = await freePorts(1)
  const fleet = await openFleet('kafka', [
    [
      {
        ...{ name: 'kafka', role: 'broker', port: port!, isSamePort: true },
        environment: { PORT: String(port), SECURITY: security },
      },
    ],
  ])
  const address = `127.0.0.1:${port}`
  return {
    ...{ broker: fleet.machine('kafka'), address, stop: fleet.stop },
    bus: (topic, settings = {}) => kafkaBus({ brokers: address, topic, partitions: 3, settings }, load),
  }
}
