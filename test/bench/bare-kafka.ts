// What node-rdkafka does by itself. Usage: bare-kafka.js send BROKER TOPIC COUNT FILE, which has a message a line, or bare-kafka.js read BROKER TOPIC COUNT.
import { openSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Rdkafka } from '../../src/ports/bus/rdkafka.ts'

const [what, brokers = '', topic = '', counted = '', file = ''] = process.argv.slice(2)
const count = Number(counted)
const { Producer, KafkaConsumer } = createRequire(import.meta.url)('node-rdkafka') as Rdkafka
const READ_BYTES = 4 << 20

function* linesOf(path: string): Generator<Buffer, undefined> {
  const fd = openSync(path, 'r')
  let rest = Buffer.alloc(0)
  for (;;) {
    const chunk = Buffer.allocUnsafe(READ_BYTES)
    const bytes = readSync(fd, chunk)
    if (bytes === 0) return
    const all = Buffer.concat([rest, chunk.subarray(0, bytes)])
    let at = 0
    for (let newline = all.indexOf(10); newline >= 0; newline = all.indexOf(10, at)) {
      yield all.subarray(at, newline)
      at = newline + 1
    }
    rest = all.subarray(at)
  }
}

const settings = { 'metadata.broker.list': brokers }

if (what === 'send') {
  const producer = new Producer({
    ...settings,
    'enable.idempotence': true,
    'compression.codec': 'lz4',
    'linger.ms': 20,
    dr_cb: true,
  })
  const messages = linesOf(file)
  let [sent, heard] = [0, 0]
  producer.on('delivery-report', () => {
    heard++
  })
  producer.connect({}, () => {
    const timer = setInterval(() => {
      // As much as its queue holds by default.
      for (; sent < count && sent - heard < 80_000; sent++)
        producer.produce(topic, null, messages.next().value ?? null, `k${sent % 500}`, null, undefined)
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
