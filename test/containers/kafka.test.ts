import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StatusEvent } from '../../src/model/event.ts'
import { ended, openPlace, Place, type Told } from '../cli/place.ts'
import { busConformance } from '../conformance/bus.ts'
import { describeSite } from './engine.ts'
import { CLIENTS, type KafkaSite, startKafka } from './kafka.ts'
import { until } from './machine.ts'

/* Status events over a real Kafka: the bus, and campaigns of this machine that tell theirs. */

let topics = 0

describeSite('Kafka', { timeout: 300_000 }, () => {
  let site: KafkaSite
  beforeAll(async () => {
    site = await startKafka()
  })
  afterAll(() => site?.stop())

  busConformance('Kafka', async () => {
    const topic = `floe.test.${++topics}`
    const bus = site.bus(topic)
    return { bus, again: () => site.bus(topic), close: () => bus.close() }
  })

  interface Teller {
    readonly place: Place
    readonly topic: string
    run(...args: string[]): Promise<Told>
    start(...args: string[]): ReturnType<Place['start']>
    /** All events that Kafka keeps, as `watch --json` tells them. */
    events(count: number, group?: string): Promise<StatusEvent[]>
    recordLines(): number
    jobs(count: number, script: string): Promise<void>
  }

  async function openTeller(name: string, more = ''): Promise<Teller> {
    const place = openPlace()
    // A test that is tried again begins with a topic of its own.
    const topic = `${name}.${randomBytes(3).toString('hex')}`
    place.file(
      'config/floe/sites.yaml',
      `kafka:\n  brokers: ["${site.address}"]\n  topic: ${topic}\n  partitions: 3\n${more}`,
      0o600,
    )
    const env = { XDG_CONFIG_HOME: place.path('config'), NODE_PATH: CLIENTS }
    const start = (...args: string[]) => place.start(args, { env })
    const run = (...args: string[]) => ended(start(...args))
    await run('init', place.path('c'))
    return {
      ...{ place, topic, start },
      run: (...args) => run('-C', place.path('c'), ...args),
      async events(count, group = `g${++topics}`) {
        const child = start('watch', '--json', '--from', 'earliest', '--group', group)
        const lines: string[] = []
        child.stdout!.setEncoding('utf8')
        let rest = ''
        child.stdout!.on('data', (text: string) => {
          const parts = (rest + text).split('\n')
          rest = parts.pop()!
          lines.push(...parts)
        })
        await until(() => lines.length >= count, { what: `${count} events are read`, waitMs: 60_000 })
        // What comes doubled, or too much, comes now.
        await new Promise((resolve) => setTimeout(resolve, 1500))
        child.kill('SIGINT')
        await ended(child)
        return lines.map((line) => JSON.parse(line) as StatusEvent)
      },
      recordLines: () =>
        recordFiles(place.path('c/scratch')).reduce(
          (sum, file) => sum + readFileSync(file, 'utf8').split('\n').length - 1,
          0,
        ),
      async jobs(count, script) {
        place.jobs(
          'jobs.ndjson',
          Array.from({ length: count }, (_, at) => ({
            ...{ id: `j${at}`, executable: '/bin/sh', arguments: ['-c', script], data: { output: [] } },
          })),
        )
        await run('-C', place.path('c'), 'add', place.path('jobs.ndjson'))
      },
    }
  }

  /** Each record line told once, and those of a file in their order. */
  function expectWhole(events: readonly StatusEvent[], lines: number): void {
    expect(events).toHaveLength(lines)
    expect(new Set(events.map(({ id, source }) => `${source} ${id}`)).size).toBe(lines)
    const last = new Map<string, number>()
    for (const { id, line } of events) {
      const file = id.slice(0, id.lastIndexOf('/'))
      expect(line).toBe((last.get(file) ?? 0) + 1)
      last.set(file, line)
    }
  }

  it('tells each record line of a campaign once, in order', async () => {
    const teller = await openTeller('floe.tells')
    await teller.jobs(200, 'exit $(( $$ % 2 ? 0 : 0 ))')
    const told = await teller.run('run', '--json')
    expect(JSON.parse(told.stdout || '{}'), told.stderr).toMatchObject({ succeeded: 200 })
    await teller.run('relay', '--site', 'local', '--once')
    const lines = teller.recordLines()
    const events = await teller.events(lines, 'board')
    expectWhole(events, lines)
    const done = events.filter(({ type }) => type === 'org.floe.job.ended')
    expect(new Set(done.map(({ subject }) => subject)).size).toBe(200)
    // Another run has nothing to tell, and a group goes on where it was.
    await teller.run('run')
    await teller.jobs(3, 'true; # three')
    await teller.run('run')
    await teller.run('relay', '--site', 'local', '--once')
    expectWhole(await teller.events(teller.recordLines()), teller.recordLines())
  })

  it('away while a campaign runs: nothing waits for it, and afterwards every event arrives', async () => {
    const teller = await openTeller('floe.away')
    const go = teller.place.path('go')
    await teller.jobs(40, `[ "$FLOE_JOB" = j0 ] || until [ -e '${go}' ]; do sleep 0.1; done`)
    const watching = teller.start('-C', teller.place.path('c'), 'watch', '--json', '--from', 'earliest')
    let [seen, words] = ['', '']
    watching.stdout!.on('data', (text) => (seen += text))
    watching.stderr!.on('data', (text) => (words += text))
    const watched = ended(watching)
    const told = ended(teller.start('-C', teller.place.path('c'), 'run', '--json'))
    await until(() => seen.includes('\n'), { what: 'an event is told', waitMs: 60_000 })
    await site.broker.kill()
    await until(() => /^topic floe\.away\S* at \S+ does not answer: .*; it is tried again/m.test(words), {
      what: 'it says that Kafka is away',
      waitMs: 60_000,
    })
    teller.place.file('go', '')
    const report = JSON.parse((await told).stdout || '{}')
    expect(report).toMatchObject({ succeeded: 40 })
    expect(report.untold).toMatch(/Could not send to topic floe\.away\S* at 127\.0\.0\.1:\d+: /)
    const refused = await teller.run('relay', '--site', 'local', '--once')
    expect(refused.status).toBe(12)
    expect(refused.stderr).toContain('events wait in the record files')
    const kept = JSON.parse((await teller.run('clean', '--all', '--json')).stdout)
    expect(kept).toMatchObject({ arrays: 0 })
    expect(kept.sites[0].kept).toMatch(
      /^\d+ ended arrays? kept until .* status events are told: .*topic floe\.away\S* at /,
    )
    await site.broker.start()
    // It begins before the others know that Kafka is back, and tries until it is.
    const relay = teller.start('-C', teller.place.path('c'), 'relay', '--site', 'local')
    const relayed = ended(relay)
    const lines = teller.recordLines()
    expectWhole(await teller.events(lines), lines)
    await until(() => words.includes('connected again'), { what: 'it says that Kafka is back', waitMs: 60_000 })
    watching.kill('SIGINT')
    await watched
    relay.kill('SIGINT')
    const { status, stderr } = await relayed
    expect(status, stderr).toBe(130)
    const again = await teller.run('relay', '--site', 'local', '--once', '--json')
    expect(JSON.parse(again.stdout)).toMatchObject({ sent: 0, damaged: 0, waiting: null })
    const cleaned = JSON.parse((await teller.run('clean', '--all', '--json')).stdout)
    expect(cleaned.arrays).toBeGreaterThan(0)
    expect(teller.recordLines()).toBe(0)
  })

  it('cut off by the network in the middle: the campaign goes on, and afterwards every event arrives', async () => {
    const teller = await openTeller('floe.cut')
    const [there, back] = ['there', 'back'].map((name) => teller.place.path(name)) as [string, string]
    // Of each forty, one is done at once, and the others while Kafka is cut off, or when it is back.
    const wait = (path: string) => `until [ -e '${path}' ]; do sleep 0.1; done`
    await teller.jobs(40, `case $FLOE_JOB in j0) ;; j1*) ${wait(there)} ;; *) ${wait(back)} ;; esac`)
    const running = ended(teller.start('-C', teller.place.path('c'), 'run', '--jobs-per-batch', '4', '--json'))
    expect((await teller.events(1))[0]).toMatchObject({ type: expect.stringMatching(/^org\.floe\./) })
    const before = teller.recordLines()
    await site.broker.unplug()
    try {
      teller.place.file('there', '')
      await until(() => teller.recordLines() > before, { what: 'jobs end while Kafka is cut off' })
    } finally {
      await site.broker.plug()
    }
    teller.place.file('back', '')
    const { stdout, stderr } = await running
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 40, failed: 0 })
    await teller.run('relay', '--site', 'local', '--once')
    const lines = teller.recordLines()
    expectWhole(await teller.events(lines), lines)
  })

  it('paused in the middle, and a relay killed at random: told at least once, read once', async () => {
    const teller = await openTeller('floe.killed')
    await teller.jobs(3000, 'true')
    rmSync(teller.place.path('config/floe/sites.yaml'))
    await teller.run('run')
    const lines = teller.recordLines()
    expect(lines).toBeGreaterThan(3000)
    teller.place.file(
      'config/floe/sites.yaml',
      `kafka: {brokers: ["${site.address}"], topic: ${teller.topic}, partitions: 3}\n`,
      0o600,
    )
    for (let round = 0; round < 6; round++) {
      const relay = teller.start('-C', teller.place.path('c'), 'relay', '--site', 'local')
      const gone = ended(relay)
      await new Promise((resolve) => setTimeout(resolve, 300 + seeded(round) * 900))
      if (round === 3) await site.broker.pause()
      relay.kill('SIGKILL')
      await gone
      if (round === 3) await site.broker.unpause()
    }
    const last = await teller.run('relay', '--site', 'local', '--once')
    expect(last.stderr).toBe('')
    expectWhole(await teller.events(lines), lines)
  })

  it('passes over what is no event, and says how many', async () => {
    const teller = await openTeller('floe.poisoned')
    await teller.jobs(2, 'true')
    await teller.run('run')
    // What a busy machine did not tell in time.
    await teller.run('relay', '--site', 'local', '--once')
    const bus = site.bus(teller.topic)
    const [key, newer] = ['x/1', { specversion: '1.0', type: 'org.floe.job.frozen', data: { v: 9 } }]
    await bus.send(['not JSON', '{}', JSON.stringify(newer), ''].map((value) => ({ key, value })))
    await bus.close()
    const lines = teller.recordLines()
    const child = teller.start('watch', '--from', 'earliest', '--json')
    let stdout = ''
    child.stdout!.on('data', (text) => (stdout += text))
    await until(() => stdout.split('\n').length > lines, { what: 'all is read' })
    await new Promise((resolve) => setTimeout(resolve, 1500))
    child.kill('SIGINT')
    const { stderr, status } = await ended(child)
    expect(status).toBe(130)
    expect(stderr).toContain('passed over: 1 event of a newer floe, 3 messages that are no events of floe')
  })

  describe('that asks who one is', () => {
    let secure: KafkaSite
    let place: Place
    beforeAll(async () => {
      secure = await startKafka('SASL_SSL')
      place = new Place()
      place.file('config/floe/ca.pem', await secure.broker.ask('cat /etc/kafka/ca.pem'))
      await place.run(['init', place.path('c')])
    })
    afterAll(async () => {
      place?.close()
      await secure?.stop()
    })

    const as = (user: string, password: string, more = 'tls: {ca: ca.pem}') => {
      const name = createHash('sha256').update(password).digest('hex').slice(0, 6)
      place.file(`config/floe/${name}`, `${password}\n`, 0o600)
      const sasl = `sasl: {mechanism: SCRAM-SHA-512, user: ${user}, password_file: ${name}}`
      return `kafka: {brokers: ["${secure.address}"], ${more}, ${sasl}}\n`
    }
    const tell = async (yaml: string, ...args: string[]) => {
      place.file('config/floe/sites.yaml', yaml, 0o600)
      const env = { XDG_CONFIG_HOME: place.path('config'), NODE_PATH: CLIENTS }
      return place.run(args, { env })
    }
    const relayed = (yaml: string) => tell(yaml, '-C', place.path('c'), 'relay', '--site', 'local', '--once')

    it('takes the right password, and says what is wrong else', async () => {
      place.jobs('jobs.ndjson', [{ id: 'j', executable: '/bin/true', data: { output: [] } }])
      await place.run(['-C', place.path('c'), 'add', place.path('jobs.ndjson')])
      await place.run(['-C', place.path('c'), 'run'])
      const wrong = await relayed(as('floe', 'snow'))
      expect(wrong).toMatchObject({ status: 2 })
      expect(wrong.stderr).toMatch(/SASL authentication error: .*invalid credentials/)
      expect(wrong.stderr).not.toContain('snow')
      expect((await relayed(as('floe', 'ice-floe', 'tls: true'))).stderr).toMatch(/certificate could not be verified/)
      expect((await relayed(as('reader', 'ice-reader'))).stderr).toMatch(/Cluster authorization failed/)
      const plain = await relayed(`kafka: {brokers: ["${secure.address}"]}\n`)
      expect(plain.status).toBe(12)
      expect(plain.stderr).toContain('does it want TLS?')
      for (const broker of ['nowhere.invalid:9092', '127.0.0.1:1']) {
        const away = await relayed(`kafka: {brokers: ["${broker}"]}\n`)
        expect(away).toMatchObject({ status: 12, stderr: expect.stringContaining(broker) })
      }
      const right = await relayed(as('floe', 'ice-floe'))
      expect(right).toMatchObject({ status: 0, stderr: '' })
      expect(right.stdout).toMatch(/^local: 3 events to topic floe\.status\.v1 at /)
      const reader = await tell(as('reader', 'ice-reader'), 'watch', '--from', 'earliest')
      expect(reader).toMatchObject({ status: 2 })
      expect(reader.stderr).toMatch(/authorization failed/)
    })
  })
})

function recordFiles(scratch: string): string[] {
  if (!existsSync(scratch)) return []
  return (readdirSync(scratch, { recursive: true }) as string[])
    .filter((name) => /\/records\/\d+\.\d+$/.test(name))
    .map((name) => join(scratch, name))
}

/** Between 0 and 1, the same each time. */
const seeded = (at: number): number => createHash('sha256').update(`kafka ${at}`).digest().readUInt32BE() / 2 ** 32
