// What node-rdkafka does by itself. Usage: bare-kafka.js send|read BROKER TOPIC COUNT BYTES.
import { createRequire } from 'node:module'
import type { Rdkafka } from '../../src/ports/bus/rdkafka.ts'

const [what, brokers = '', topic = '', counted = '', sized = ''] = process.argv.slice(2)
const count = Number(counted)
const { Producer, KafkaConsumer } = createRequire(import.meta.url)('node-rdkafka') as Rdkafka
const settings = { 'metadata.broker.list': brokers }

if (what === 'send') {
  const producer = new Producer({
    ...settings,
    'enable.idempotence': true,
    'compression.codec': 'lz4',
    'linger.ms': 20,
    dr_cb: true,
  })
  const value = Buffer.from('x'.repeat(Number(sized)))
  let [sent, heard] = [0, 0]
  producer.on('delivery-report', () => {
    heard++
  })
  producer.connect({}, () => {
    const timer = setInterval(() => {
      // As much as its queue holds by default.
      for (; sent < count && sent - heard < 80_000; sent++)
        producer.produce(topic, null, value, `k${sent % 500}`, null, 0)
      producer.poll()
      if (heard < count) return
      clearInterval(timer)
      producer.disconnect(5000, () => {})
    }, 1)
  })
} else {
  const consumer = new KafkaConsumer(
    { ...settings, 'group.id': `bare${process.pid}`, 'enable.auto.commit': false },
    { 'auto.offset.reset': 'earliest' },
  )
  let read = 0
  const more = (): void => {
    consumer.consume(2000, (_, messages) => {
      read += messages?.length ?? 0
      if (read < count) more()
      else consumer.disconnect(() => {})
    })
  }
  consumer.connect({}, () => {
    consumer.setDefaultConsumeTimeout(250)
    consumer.subscribe([topic])
    more()
  })
}
