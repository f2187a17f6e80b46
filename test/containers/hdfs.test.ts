import { spawnSync } from 'node:child_process'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { hdfsFiles } from '../../src/ports/files/hdfs.ts'
import type { HdfsAccess, WebHdfs } from '../../src/ports/files/webhdfs.ts'
import { filesConformance, temporaryFolder } from '../conformance/files.ts'
import { describeSite } from './engine.ts'
import { type HdfsSite, startHdfs } from './hdfs.ts'
import { beginWrite } from './hdfs-writing.ts'
import type { Machine } from './machine.ts'
import { openTap, type Tap } from './tap.ts'

/* The door of files on a real HDFS, and what befalls real ones. */

const MB = 1_000_000
const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

describeSite('HDFS', () => {
  let site: HdfsSite
  beforeAll(async () => {
    site = await startHdfs({ httpFs: true })
    await site.ask('PUT', '/user', 'op=MKDIRS&permission=755')
    for (const user of ['alice', 'bob']) {
      await site.ask('PUT', `/user/${user}`, 'op=MKDIRS&permission=700')
      await site.ask('PUT', `/user/${user}`, `op=SETOWNER&owner=${user}&group=${user}`)
    }
  })
  afterAll(() => site?.stop())

  const alice = (access: HdfsAccess = {}) => hdfsFiles(site.client({ user: 'alice', ...access }))
  async function folder(): Promise<string> {
    const root = `/user/alice/${randomUUID()}`
    await alice().makeFolders(root)
    return root
  }
  const here = temporaryFolder()
  afterAll(() => here.close())
  function fileHere(bytes: Uint8Array): string {
    const path = join(here.root, randomUUID())
    writeFileSync(path, bytes)
    return path
  }

  const taps: Tap[] = []
  afterEach(async () => {
    for (const tap of taps.splice(0)) tap.close()
  })

  /** A client to which something befalls the first data node from or to which 5 MB went. */
  async function befallen(act: (node: Machine) => Promise<void>, spared: readonly Machine[] = []): Promise<WebHdfs> {
    let isHit = false
    const tapped = site.dataNodes.map(async (node) => {
      const once = async () => {
        if (isHit || spared.includes(node)) return
        isHit = true
        await act(node)
      }
      const tap = await openTap(site.ports[node.name]!, { after: 5 * MB, act: once })
      taps.push(tap)
      return [node.name, tap.address] as const
    })
    const hosts = { ...site.hosts, ...Object.fromEntries(await Promise.all(tapped)) }
    return site.client({ user: 'alice', hosts })
  }

  describe('is a door of files', () => {
    const open = (url: () => string, group: boolean) => async () => {
      // What is slow on a busy machine is no fault here.
      const files = hdfsFiles(site.client({ user: 'alice', idleMs: 30_000 }, url()), { group })
      const root = await folder()
      return { files, root, close: () => files.remove(root) }
    }
    filesConformance(
      'HDFS',
      open(() => site.url, false),
    )
    filesConformance(
      'HttpFS, shared with the group',
      open(() => site.httpFsUrl, true),
      // It sets up a client of HDFS for each request.
      { racers: 5, many: 10 },
    )
  })

  describe('keeps to its rules', () => {
    it('makes files private, or for the group whatever the umask of HDFS', async () => {
      const root = await folder()
      for (const [name, group] of [
        ['private', false],
        ['shared', true],
      ] as const) {
        const files = hdfsFiles(site.client({ user: 'alice' }), { group })
        await files.makeFolders(`${root}/${name}/below`)
        await files.write(`${root}/${name}/file`, 'x')
      }
      const modes = async (name: string) => {
        const said = JSON.parse(await site.ask('GET', `${root}/${name}`, 'op=LISTSTATUS'))
        return said.FileStatuses.FileStatus.map(({ permission }: { permission: string }) => permission)
      }
      expect(await modes('private')).toEqual(['700', '600'])
      expect(await modes('shared')).toEqual(['770', '660'])
      const stranger = hdfsFiles(site.client({ user: 'bob', patienceMs: 100 }))
      for (const act of [
        () => stranger.read(`${root}/private/file`),
        () => stranger.write(`${root}/private/new`, 'x'),
        () => stranger.list(root),
        () => stranger.remove(`${root}/private/file`),
      ])
        await expect(act()).rejects.toMatchObject({
          code: 'NOT_WRITABLE',
          message: expect.stringContaining('Permission denied: user=bob'),
        })
    })

    it('says which name it cannot keep', async () => {
      const root = await folder()
      await expect(alice().write(`${root}/a:b`, 'x')).rejects.toMatchObject({
        code: 'NOT_SUPPORTED',
        hint: expect.stringContaining(':'),
      })
    })

    it('keeps quotas of bytes and of names, and tells what is left', async () => {
      const root = await folder()
      await site.ask('PUT', root, `op=SETQUOTA&storagespacequota=${40 * 2 ** 20}`)
      await site.ask('PUT', root, 'op=SETQUOTA&namespacequota=4')
      expect(await alice().room(root)).toEqual({ freeBytes: 40 * 2 ** 20, freeFiles: 3 })
      await alice().write(`${root}/small`, 'four')
      expect(await alice().room(root)).toEqual({ freeBytes: 40 * 2 ** 20 - 8, freeFiles: 2 })
      const full = {
        code: 'DISK_FULL',
        message: expect.stringMatching(/quota/i),
        hint: expect.stringContaining('quota'),
      }
      await expect(alice().publish(fileHere(randomBytes(30 * MB)), `${root}/large`)).rejects.toMatchObject(full)
      expect(await alice().names(root)).toEqual(['small'])
      for (const name of ['a', 'b']) await alice().makeFolder(`${root}/${name}`)
      await expect(alice().write(`${root}/c`, 'x')).rejects.toMatchObject(full)
      await expect(alice().makeFolder(`${root}/c`)).rejects.toMatchObject(full)
      expect(await alice().names(root)).toEqual(['a', 'b', 'small'])
    })

    it('is read and written by the client of others', async () => {
      const root = await folder()
      const client = (verb: string, path: string, input: Uint8Array = Buffer.alloc(0)) => {
        const program = join(import.meta.dirname, 'webhdfs-client.mjs')
        const address = site.url.replace('webhdfs:', 'http:')
        const { status, stdout, stderr } = spawnSync(process.execPath, [program, address, verb, path], {
          input,
          maxBuffer: 100 * MB,
        })
        if (status !== 0) throw new Error(String(stderr))
        return stdout
      }
      const bytes = randomBytes(20 * MB)
      await alice().publish(fileHere(bytes), `${root}/ours`)
      expect(digestOf(client('get', `${root}/ours`))).toBe(digestOf(bytes))
      client('put', `${root}/theirs`, bytes)
      expect(digestOf((await hdfsFiles(site.client()).read(`${root}/theirs`))!)).toBe(digestOf(bytes))
    })
  })

  describe('with files that have no end', () => {
    it('refuses to take what is being written for a file', async () => {
      const path = `${await folder()}/log`
      const writing = await beginWrite(site, path, 'half')
      const files = hdfsFiles(site.client())
      const busy = { code: 'FILE_BUSY', message: expect.stringContaining(path) }
      await expect(files.digest(path)).rejects.toMatchObject(busy)
      await expect(files.fetch(path, join(here.root, 'busy'))).rejects.toMatchObject(busy)
      await expect(hdfsFiles(site.client({ patienceMs: 300 })).append(path, 'x')).rejects.toMatchObject(busy)
      await writing.finish()
      await files.append(path, '!')
      expect((await files.read(path))!.toString()).toBe('halfhalf!')
    })

    it('leaves nothing of an upload that is cut, where other clients leave a short file', async () => {
      const root = await folder()
      const writing = await beginWrite(site, `${root}/short`, 'x'.repeat(100_000))
      writing.cut()
      await expect
        .poll(async () => (await site.client().status(`${root}/short`))?.length, { timeout: 10_000 })
        .toBeGreaterThan(0)
      await hdfsFiles(site.client()).remove(`${root}/short`)
      const local = fileHere(randomBytes(30 * MB))
      const client = await befallen(async () => truncateSync(local, 1 * MB))
      await expect(hdfsFiles(client).publish(local, `${root}/whole`)).rejects.toMatchObject({
        code: 'FILE_BUSY',
        message: expect.stringMatching(/whole.*of 30000000 bytes/),
      })
      expect(await alice().names(root)).toEqual([])
    })
  })

  describe('with machines that fail', () => {
    const bytes = randomBytes(30 * MB)

    it.each([
      ['killed', (node: Machine) => node.kill(), (node: Machine) => node.start()],
      ['paused', (node: Machine) => node.pause(), (node: Machine) => node.unpause()],
    ] as const)('reads on and writes on when a data node is %s', async (_, act, undo) => {
      const root = await folder()
      const local = fileHere(bytes)
      await alice().publish(local, `${root}/there`)

      const hit: Machine[] = []
      const fail = (node: Machine) => act(node).finally(() => hit.push(node))
      try {
        const reading = await befallen(fail)
        const back = join(here.root, randomUUID())
        expect(await hdfsFiles(reading).fetch(`${root}/there`, back)).toBe(true)
        expect(digestOf(readFileSync(back))).toBe(digestOf(bytes))
        // A node that stands still takes some megabytes, too.
        const writing = await befallen(fail, hit)
        expect(await hdfsFiles(writing).publish(local, `${root}/new`)).toBe(true)
        expect(new Set(hit).size).toBe(2)
      } finally {
        await Promise.all(hit.map(undo))
        await site.ready()
      }
      const { digest } = (await alice().digest(`${root}/there`))!
      expect(await alice().digest(`${root}/new`)).toEqual({ kind: 'checksum', digest })
      expect(await alice().names(root)).toEqual(['new', 'there'])
    })

    it('waits for a name node that is started again, and names each file once', async () => {
      const root = await folder()
      let made = 0
      let isDone = false
      const write = async () => {
        while (!isDone) {
          const name = `file ${made++}`
          expect(await alice().create(`${root}/${name}`, name)).toBe(true)
        }
      }
      const writing = Promise.all([write(), write(), write()])
      await expect.poll(() => made, { timeout: 20_000 }).toBeGreaterThan(10)
      await site.nameNode.kill()
      await site.nameNode.start()
      const before = made
      await expect.poll(() => made, { timeout: 60_000 }).toBeGreaterThan(before + 10)
      isDone = true
      await writing
      await site.ready()
      expect(await alice().names(root)).toEqual(Array.from({ length: made }, (_, at) => `file ${at}`).sort())
    })

    it('waits while it is in safe mode, and says so when that lasts', async () => {
      const root = await folder()
      const safeMode = (word: string) => site.nameNode.ask(`/start.sh admin -safemode ${word}`)
      await alice().write(`${root}/before`, 'x')
      await safeMode('enter')
      await expect(alice({ patienceMs: 300 }).write(`${root}/a`, 'x')).rejects.toMatchObject({
        code: 'HDFS_UNREACHABLE',
        message: expect.stringContaining('safe mode'),
      })
      expect((await alice().read(`${root}/before`))!.toString()).toBe('x')
      const patient = alice().create(`${root}/b`, 'x')
      await safeMode('leave')
      expect(await patient).toBe(true)
      expect(await alice().names(root)).toEqual(['b', 'before'])
    })

    it('says how to reach hosts that this machine cannot resolve', async () => {
      const root = await folder()
      const hosts = { namenode: '127.0.0.1' }
      await expect(alice({ hosts }).write(`${root}/a`, 'x')).rejects.toMatchObject({
        code: 'HDFS_UNREACHABLE',
        message: expect.stringMatching(/dn\d-r\d/),
        hint: expect.stringMatching(/cannot resolve dn\d-r\d.*hosts:/),
      })
    })
  })
})
