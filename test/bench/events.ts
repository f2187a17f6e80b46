import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { messagesOf } from '../../src/events/to-event.ts'
import { encodeRecord, glanceAtRecord, type RecordLine } from '../../src/model/record.ts'
import { startKafka } from '../containers/kafka.ts'
import { sweep } from '../containers/owner.ts'
import { count, floe, type Ground, jobsFor } from './ground.ts'
import { measure } from './measure.ts'

/* Status events of an hour's outage: from the record files to a topic of a real Kafka, and from there to a reader. Needs an engine for
   containers, and what `npm test -- --project containers` installs. */

const CAMPAIGN = 'c0ffee00-0000-4000-8000-000000000000'
const JOBS_A_FILE = 1000

export async function benchEvents(ground: Ground): Promise<void> {
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true'
  const clients = join(ground.root, 'test/containers/packages/node_modules')
  process.env.NODE_PATH = clients
  await sweep()
  ground.tell('starting a Kafka')
  const kafka = await startKafka('PLAINTEXT', clients)
  try {
    const scratch = join(ground.scratch, 'events')
    const events = join(ground.scratch, 'events.ndjson')
    const { lines, bytes } = writeRecords(scratch, events, jobsFor(ground, 1_000_000))
    process.env.XDG_CONFIG_HOME = join(ground.scratch, 'events-config')
    const relay: number[] = []
    const bareSend: number[] = []
    const watch: number[] = []
    const bareRead: number[] = []
    for (let turn = 0; turn < ground.turns; turn++) {
      const topic = `floe.bench${turn}`
      describe(ground, { scratch, address: kafka.address, topic })
      const bare = (what: string, name: string) => ({
        argv: [process.execPath, join(ground.programs, 'bare-kafka.js'), what, kafka.address, name, `${lines}`, events],
      })
      ground.tell(`turn ${turn + 1}: ${count(lines)} events of some ${Math.round(bytes / lines)} bytes`)
      rmSync(join(arrayOf(scratch), 'told'), { force: true })
      relay.push((await measure({ argv: floe(ground, undefined, ['relay', '--site', 'frost', '--once']) })).wallSec)
      const bus = kafka.bus(`${topic}.bare`)
      await bus.send([{ key: 'k', value: 'makes the topic' }])
      await bus.close()
      bareSend.push((await measure(bare('send', `${topic}.bare`))).wallSec)
      const reading = floe(ground, undefined, ['watch', '--json', '--from', 'earliest', '--group', `g${turn}`])
      // It would go on for ever: nobody tells it that all is read.
      const pipe = join(ground.scratch, `pipe${turn}`)
      const shell = `mkfifo '${pipe}'; '${reading.join("' '")}' >'${pipe}' & p=$!; head -n ${lines} '${pipe}' >/dev/null; kill -KILL $p`
      watch.push((await measure({ argv: ['/bin/sh', '-c', shell] })).wallSec)
      bareRead.push((await measure(bare('read', topic))).wallSec)
    }
    const work = `${count(lines)} events`
    const rates = (seconds: readonly number[]) => seconds.map((sec) => lines / sec)
    ground.print({
      ...{
        work: `${work}: record files to topic, events/s`,
        unit: 'jobs/s',
        ours: rates(relay),
        baseline: rates(bareSend),
      },
      ...{ baselineName: 'node-rdkafka sending the same events from a file', must: { of: 'ratio', least: 0.5 } },
    })
    ground.print({
      ...{
        work: `${work}: topic to watch --json, events/s`,
        unit: 'jobs/s',
        ours: rates(watch),
        baseline: rates(bareRead),
      },
      ...{ baselineName: 'node-rdkafka reading the same topic', must: { of: 'ratio', least: 0.5 } },
    })
    ground.print({
      ...{ work: `${work}: an outage caught up`, unit: 's', ours: relay, baseline: [], baselineName: null },
      must: { of: 'value', most: 120 },
    })
  } finally {
    await kafka.stop()
  }
}

const arrayOf = (scratch: string): string => join(scratch, 'floe/campaigns', CAMPAIGN, 'arrays/a000001')

function describe(
  ground: Ground,
  { scratch, address, topic }: { scratch: string; address: string; topic: string },
): void {
  const folder = join(ground.scratch, 'events-config/floe')
  mkdirSync(folder, { recursive: true })
  const sites = `sites: {frost: {connector: local, scratch: ${scratch}}}`
  const kafka = `kafka: {brokers: ["${address}"], topic: ${topic}, partitions: 6}`
  writeFileSync(join(folder, 'sites.yaml'), `${sites}\n${kafka}\n`, { mode: 0o600 })
}

/** Record files as runners leave them, and in `events` what is told of them, one a line. Answers how many, and their bytes. */
function writeRecords(scratch: string, events: string, jobs: number): { lines: number; bytes: number } {
  const records = join(arrayOf(scratch), 'records')
  mkdirSync(records, { recursive: true })
  const told = openSync(events, 'w')
  const base = { v: 1, at: 1_790_000_000_000_000 } as const
  const total = { lines: 0, bytes: 0 }
  for (let task = 0; task * JOBS_A_FILE < jobs; task++) {
    const batch = task + 1
    const at = { array: 'a000001', task, attempt: 1, batch, node: 'c1', native_id: `7_${task}`, pid: 1, slots: 2 }
    const lines: RecordLine[] = [{ ...base, event: 'task started', campaign: CAMPAIGN, ...at }]
    for (let job = task * JOBS_A_FILE; job < Math.min(jobs, (task + 1) * JOBS_A_FILE); job++)
      lines.push({
        ...{
          ...base,
          event: 'job ended',
          job: `winds-${job}`,
          revision: 1,
          job_digest: `${job}`.padStart(64, 'd'),
          try: 1,
        },
        ...{ slot: 0, started_at: base.at, verdict: 'succeeded', class: null, rule: 'exit 0', exit: 0, signal: null },
        ...{ wall_sec: 1.25, cpu_sec: 1.1, memory_max_bytes: 1 << 24, stdout: null, stderr: null, checked: false },
        outputs: [{ path: `mean/${job}.csv`, size_bytes: 4096, digest: `sha256:${`${job}`.padStart(64, 'e')}` }],
        sandbox: null,
      })
    lines.push({ ...base, event: 'task ended', reason: 'done', message: null, jobs: JOBS_A_FILE })
    const texts = lines.map(encodeRecord)
    writeFileSync(join(records, `${task}.1`), texts.join(''))
    const tell = messagesOf({ campaign: CAMPAIGN, site: 'frost', array: 'a000001', task, attempt: 1 })
    const values = texts.map((text, at) => tell(glanceAtRecord(text.trimEnd())!, { batch, line: at + 1 }).value)
    total.lines += lines.length
    total.bytes += writeSync(told, values.map((value) => `${value}\n`).join(''))
  }
  closeSync(told)
  return total
}
