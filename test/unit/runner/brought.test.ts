import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ManifestJob } from '../../../src/model/manifest.ts'
import { fakeJob } from '../../fakes/array.ts'
import { script, useRunner } from '../../fakes/task.ts'

/* What a task does about inputs in HDFS, by a server that answers as one and counts. */

const TOKEN = 'dG9rZW4'

describe('inputs in HDFS', () => {
  const runner = useRunner()
  let server: Server
  let asked: string[]
  /** Data nodes that hold the blocks of files below /blocks, 4 bytes each; the first block waits until all are asked for. */
  const NODES = [hostname(), 'dn-b', 'dn-c']
  const BLOCK = 4
  let first: ServerResponse | undefined
  /** The one that is taken. */
  let token: string
  const content = (path: string) => `${path}\n`
  beforeEach(async () => {
    asked = []
    token = TOKEN
    server = createServer((request, reply) => {
      const { pathname, searchParams } = new URL(request.url!, 'http://nn')
      const path = decodeURIComponent(pathname.slice('/webhdfs/v1'.length))
      const op = searchParams.get('op')
      const refuse = (status: number, exception: string) => {
        reply.writeHead(status)
        reply.end(JSON.stringify({ RemoteException: { exception, message: `of ${path}` } }))
      }
      if (searchParams.get('delegation') !== token) return refuse(403, 'InvalidToken')
      asked.push(`${op} ${path}`)
      if (path.startsWith('/expired')) return refuse(403, 'InvalidToken')
      if (path.startsWith('/gone')) return refuse(404, 'FileNotFoundException')
      if (op === 'OPEN' && path.startsWith('/blocks')) {
        const [offset, length] = [Number(searchParams.get('offset')), Number(searchParams.get('length'))]
        const node = NODES[offset / BLOCK]!
        const port = (server.address() as AddressInfo).port
        if (request.headers.host === 'nn:9870') {
          reply.writeHead(307, { location: `http://${node}:${port}${request.url}` })
          return reply.end()
        }
        reply.write(content(path).slice(offset, offset + length))
        if (offset === 0) first = reply
        else reply.end()
        if (asked.filter((one) => one.startsWith('OPEN /blocks')).length === 2 * NODES.length) first?.end()
        return
      }
      if (op === 'OPEN') return reply.end(content(path))
      const status = { pathSuffix: '', type: 'FILE', length: content(path).length, modificationTime: 5, fileId: 1 }
      if (path.startsWith('/blocks')) Object.assign(status, { blockSize: BLOCK })
      reply.end(JSON.stringify(op === 'GETFILESTATUS' ? { FileStatus: status } : { LocatedBlocks: {} }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterEach(() => server.close())

  const url = (path: string) => `webhdfs://nn:9870${path}`
  const input = (path: string, more: object = {}) => ({
    ...{ name: path.slice(path.lastIndexOf('/') + 1), path: url(path), size_bytes: null, mtime: null },
    ...more,
  })
  function writeEntrances(directory: string): void {
    const at = `127.0.0.1:${(server.address() as AddressInfo).port}`
    const hosts = Object.fromEntries(['nn', ...NODES].map((name) => [name, at]))
    writeFileSync(join(directory, 'hdfs'), JSON.stringify({ 'nn:9870': { token, nameNodes: [], hosts } }))
  }
  async function run(
    jobs: readonly ManifestJob[],
    args: string[] = [],
    { places, meanwhile = async () => {} }: { places?: string; meanwhile?: (directory: string) => Promise<void> } = {},
  ) {
    const directory = runner.array(jobs)
    if (places !== undefined) writeFileSync(join(directory, 'places'), places)
    writeEntrances(directory)
    const { exit } = await runner.start(directory, { args })
    await meanwhile(directory)
    return runner.read(directory, await exit)
  }
  const opened = () => asked.filter((one) => one.startsWith('OPEN')).sort()

  it('come once a task, with the token, and go with it', async () => {
    const jobs = Array.from({ length: 300 }, (_, at) =>
      fakeJob(`j${at}`, { ...script('cat "$FLOE_INPUT_1" b'), inputs: [input(`/d/a ${at % 3}`), input('/d/b')] }),
    )
    const ran = await run(jobs, ['--cpus', '2'])
    expect([ran.seal, ran.ended.size]).toEqual(['done', 300])
    for (const [at, { job }] of jobs.entries())
      expect(ran.log(ran.ended.get(job)!.stdout)).toBe(`/d/a ${at % 3}\n/d/b\n`)
    expect(opened()).toEqual(['OPEN /d/a 0', 'OPEN /d/a 1', 'OPEN /d/a 2', 'OPEN /d/b'])
    expect(readdirSync(join(runner.scratch, 'sandboxes'))).toEqual([])
    expect(readFileSync(join(ran.directory, 'manifest'), 'utf8')).not.toContain(TOKEN)
  })

  const digest = `sha256:${createHash('sha256').update(content('/d/x')).digest('hex')}`
  it.each([
    [{ digest, size_bytes: 5, mtime: 5000 }, null, 'exit 0'],
    [{ digest: `${digest.slice(0, -1)}x` }, 'input', 'its job says'],
    [{ size_bytes: 7 }, 'input', '5 bytes, 7 when it was planned'],
    [{ mtime: 6000 }, 'input', 'was changed'],
  ])('are held against what was planned and declared: %o', async (given, failure, rule) => {
    const ran = await run([fakeJob('j', { ...script('true'), inputs: [input('/d/x', given)] })])
    expect(ran.ended.get('j')).toMatchObject({ class: failure, rule: expect.stringContaining(rule) })
  })

  it('of several blocks come block by block, at once, and it is told for whom and from where', async () => {
    // 12 bytes: three blocks.
    const path = '/blocks/abc'
    const given = { size_bytes: 12, digest: `sha256:${createHash('sha256').update(content(path)).digest('hex')}` }
    const places = JSON.stringify({ v: 1, nodes: [`/r1/${NODES[0]}`, '/r1/dn-b', '/r2/dn-c'], tasks: [[]] })
    const of = (id: string) => fakeJob(id, { ...script('cat "$FLOE_INPUT_1"'), inputs: [input(path, given)] })
    const ran = await run([of('one'), of('two'), fakeJob('three', script('true'))], [], { places })
    expect(ran.seal).toBe('done')
    for (const id of ['one', 'two']) expect(ran.log(ran.ended.get(id)!.stdout)).toBe(content(path))
    expect(ran.ended.get('one')!.bytes_read).toEqual({ local: 4, rack: 4, remote: 4 })
    for (const id of ['two', 'three']) expect(ran.ended.get(id)).not.toHaveProperty('bytes_read')
  })

  it('come with the token that took the place of one that has ended', async () => {
    const go = join(runner.scratch, 'go')
    const first = fakeJob('first', {
      ...script(`touch ${go}.begun; until [ -e ${go} ]; do sleep 0.05; done; cat "$FLOE_INPUT_1"`),
      inputs: [input('/d/a')],
    })
    // More than are brought ahead of the first.
    const jobs = [
      first,
      ...Array.from({ length: 220 }, (_, at) =>
        fakeJob(`j${at}`, { ...script('cat b'), inputs: [input('/d/b'), input(`/d/${at}`)] }),
      ),
    ]
    const ran = await run(jobs, [], {
      meanwhile: async (directory) => {
        await expect.poll(() => existsSync(`${go}.begun`), { timeout: 30_000 }).toBe(true)
        token = 'bmV3'
        writeEntrances(directory)
        writeFileSync(go, '')
      },
    })
    expect([ran.seal, ran.ended.size]).toEqual(['done', jobs.length])
    expect([...ran.ended.values()].every(({ verdict }) => verdict === 'succeeded')).toBe(true)
  })

  it('that do not come leave the others alone', async () => {
    const of = (id: string, path: string) => fakeJob(id, { ...script('cat "$FLOE_INPUT_1"'), inputs: [input(path)] })
    const ran = await run([
      of('a', '/d/a'),
      of('gone', '/gone'),
      of('old', '/expired'),
      of('old too', '/expired'),
      of('b', '/d/b'),
    ])
    expect(ran.seal).toBe('done')
    for (const id of ['a', 'b']) expect(ran.ended.get(id)).toMatchObject({ verdict: 'succeeded' })
    expect(ran.ended.get('gone')).toMatchObject({ class: 'input', rule: expect.stringContaining('is not there') })
    for (const id of ['old', 'old too'])
      expect(ran.ended.get(id)).toMatchObject({ class: 'staging', rule: expect.stringContaining('InvalidToken') })
  })

  it('end the task when none comes, which is no fault of its jobs', async () => {
    const jobs = Array.from({ length: 50 }, (_, at) =>
      fakeJob(`j${at}`, { ...script('true'), inputs: [input(`/expired/${at}`)] }),
    )
    const ran = await run(jobs)
    expect(ran.seal).toBe('failed')
    expect(ran.ended.size).toBeLessThan(10)
    expect(ran.lines.at(-1)).toMatchObject({ event: 'task ended', message: expect.stringContaining('InvalidToken') })
  })
})
