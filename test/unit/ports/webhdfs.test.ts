import { createServer, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createSocketServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type HdfsAccess, WebHdfs } from '../../../src/ports/files/webhdfs.ts'
import { connectionFault, hdfsError, remoteFault } from '../../../src/ports/files/webhdfs-faults.ts'
import { addressOf, exchange } from '../../../src/ports/files/webhdfs-http.ts'
import { parseHdfsUrl } from '../../../src/ports/files/webhdfs-url.ts'

describe('addresses', () => {
  it.each([
    ['webhdfs://nn/a/b', 'webhdfs', 'nn:9870', '/a/b'],
    ['swebhdfs://nn', 'swebhdfs', 'nn:9871', '/'],
    ['webhdfs://nn.example.org:14000//a/./b c%20+?#/', 'webhdfs', 'nn.example.org:14000', '/a/b c%20+?#'],
    ['webhdfs://[::1]:9870/日本/🎉', 'webhdfs', '[::1]:9870', '/日本/🎉'],
  ])('%s', (text, scheme, authority, path) => {
    expect(parseHdfsUrl(text)).toEqual({ scheme, authority, path })
  })

  it.each(['webhdfs:/a', 'webhdfs://', 'hdfs://nn/a', 'webhdfs://nn:x/a', 'webhdfs://a b/c', 'webhdfs://nn/a/../b'])(
    '%s is none',
    (text) => {
      expect(() => parseHdfsUrl(text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
    },
  )

  it('are mapped, with or without a port', () => {
    const hosts = { dn1: '127.0.0.1', 'dn2:9864': 'tunnel:7001', dn2: '10.0.0.2' }
    const at = (url: string) => addressOf(new URL(url), hosts)
    expect(at('http://dn1:9864/')).toEqual({ host: '127.0.0.1', port: 9864 })
    expect(at('http://dn2:9864/')).toEqual({ host: 'tunnel', port: 7001 })
    expect(at('https://dn2:9865/')).toEqual({ host: '10.0.0.2', port: 9865 })
    expect(at('https://dn3/')).toEqual({ host: 'dn3', port: 443 })
    expect(at('http://[::1]:9864/')).toEqual({ host: '::1', port: 9864 })
  })
})

describe('faults', () => {
  const told = (exception: string, message: string, status = 403) =>
    remoteFault(status, JSON.stringify({ RemoteException: { exception, javaClassName: exception, message } })).kind

  // As HDFS 3.4.2 says them.
  it.each([
    ['FileNotFoundException', 'File does not exist: /t/no', 'absent'],
    ['ParentNotDirectoryException', '/t/b (is not a directory)', 'absent'],
    ['AccessControlException', '/c/once (is not a directory)', 'absent'],
    [
      'AccessControlException',
      'Permission denied: user=alice, access=WRITE, inode="/t":root:root:drwxr-xr-x',
      'denied',
    ],
    ['NSQuotaExceededException', 'The NameSpace quota (directories and files) of directory /t/q is exceeded', 'quota'],
    ['DSQuotaExceededException', 'The DiskSpace quota of /t/q is exceeded', 'quota'],
    ['IOException', 'Fail to get checksum, since file /t/uc is under construction.', 'busy'],
    ['AlreadyBeingCreatedException', 'Failed to APPEND_FILE /t/uc for x because\n\tat org.apache…', 'busy'],
    ['InvalidPathException', 'Invalid path name Invalid file name: /t/x:y', 'name'],
    ['SafeModeException', 'Cannot create directory /x. Name node is in safe mode.', 'wait'],
    ['StandbyException', 'Operation category READ is not supported in state standby', 'wait'],
    ['SecretManager$InvalidToken', 'token (token for alice) is expired', 'login'],
    ['IOException', 'Failed to find datanode, suggest to check cluster health. excludeDatanodes=dn1:9864', 'wait'],
    ['IOException', 'No active nodes contain this block', 'wait'],
    ['BlockMissingException', 'Could not obtain block: BP-1', 'node'],
    ['IOException', 'Offset=20 out of the range [0, 8); OPEN, path=/t/uc', 'other'],
  ])('%s: %s', (exception, message, kind) => {
    expect(told(exception, message)).toBe(kind)
  })

  it('without an exception of HDFS are told by the status', () => {
    expect(remoteFault(401, '<html><title>Authentication required</title></html>')).toEqual({
      kind: 'login',
      text: 'HTTP 401: Authentication required',
    })
    expect(remoteFault(503, '').kind).toBe('wait')
    expect(remoteFault(500, 'java.io.EOFException: Premature EOF').kind).toBe('other')
    expect(remoteFault(404, 'Not Found').hint).toContain('HTTP port')
  })

  it('keep the first line of a stack trace, and say what to do', () => {
    const fault = remoteFault(403, JSON.stringify({ RemoteException: { exception: 'X', message: 'why\n\tat java' } }))
    const error = hdfsError(fault, 'write webhdfs://nn:9870/x')
    expect(error).toMatchObject({ code: 'HDFS_REFUSED', message: 'cannot write webhdfs://nn:9870/x: X: why' })
    const unknown = Object.assign(new Error('getaddrinfo ENOTFOUND dn1'), { code: 'ENOTFOUND' })
    expect(hdfsError(connectionFault(unknown, 'dn1:9864'), 'read x')).toMatchObject({
      code: 'HDFS_UNREACHABLE',
      hint: expect.stringContaining('hosts:'),
    })
  })
})

describe('a name node that plays its part', () => {
  const open: { close(): void }[] = []
  afterEach(() => {
    for (const server of open.splice(0)) server.close()
  })
  const listen = async (server: Server | ReturnType<typeof createSocketServer>): Promise<string> => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    open.push({ close: () => server.close() })
    return `127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  type Reply = (request: IncomingMessage) => readonly [status: number, body: unknown, headers?: Record<string, string>]
  const nameNode = (reply: Reply): Promise<string> =>
    listen(
      createServer((request, response) => {
        const [status, body, headers = {}] = reply(request)
        response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body))
      }),
    )
  const client = (authority: string, access: HdfsAccess = {}) =>
    new WebHdfs(parseHdfsUrl(`webhdfs://${authority}/`), { patienceMs: 3000, idleMs: 500, ...access })
  const exception = (name: string) => [403, { RemoteException: { exception: name, message: `${name} it is` } }] as const
  const found = [200, { FileStatus: { type: 'FILE', length: 3 } }] as const

  it('on standby sends us to the active one, and is not asked again', async () => {
    let asked = 0
    const standby = await nameNode(() => {
      asked++
      return exception('StandbyException')
    })
    const active = await nameNode(() => found)
    const two = client(standby, { nameNodes: [standby, active] })
    expect(await two.status('/a')).toMatchObject({ length: 3 })
    expect(await two.status('/a')).toMatchObject({ length: 3 })
    expect(asked).toBe(1)
    await expect(client(standby, { patienceMs: 50 }).status('/a')).rejects.toMatchObject({ code: 'HDFS_UNREACHABLE' })
  })

  it('in safe mode is waited for', async () => {
    let left = 3
    const address = await nameNode(() => (left-- > 0 ? exception('SafeModeException') : found))
    expect(await client(address).status('/a')).toMatchObject({ length: 3 })
  })

  it('is told who asks: a user, or a token and no user', async () => {
    const urls: string[] = []
    const address = await nameNode(({ url }) => {
      urls.push(url!)
      return url!.includes('old') ? exception('org.apache.hadoop.security.token.SecretManager$InvalidToken') : found
    })
    await client(address, { user: 'alice' }).status('/a b')
    await client(address, { user: 'alice', token: 'HgAF-_' }).status('/a%b')
    expect(urls).toEqual([
      '/webhdfs/v1/a%20b?op=GETFILESTATUS&user.name=alice',
      '/webhdfs/v1/a%25b?op=GETFILESTATUS&delegation=HgAF-_',
    ])
    await expect(client(address, { token: 'old' }).status('/a')).rejects.toMatchObject({
      code: 'HDFS_LOGIN',
      message: expect.stringContaining('InvalidToken it is'),
    })
  })

  it('that refuses a token is asked once more with another, if there is one', async () => {
    const asked: string[] = []
    const address = await nameNode(({ url }) => {
      asked.push(new URL(url!, 'http://x').searchParams.get('delegation')!)
      return url!.includes('old') ? exception('org.apache.hadoop.security.token.SecretManager$InvalidToken') : found
    })
    const tokens = (other: string) => {
      let held = 'old'
      return async (refused?: string) => {
        if (refused === held) held = other
        return held
      }
    }
    const one = client(address, { token: tokens('new') })
    expect(await one.status('/a')).toMatchObject({ length: 3 })
    expect(await one.status('/a')).toMatchObject({ length: 3 })
    expect(asked).toEqual(['old', 'new', 'new'])
    for (const other of ['old', 'older'])
      await expect(client(address, { token: tokens(other) }).status('/a')).rejects.toMatchObject({ code: 'HDFS_LOGIN' })
    expect(asked.slice(3)).toEqual(['old', 'old', 'older'])
  })

  it('is shown a ticket for a token, and asked to renew it', async () => {
    const asked: (string | undefined)[] = []
    const address = await nameNode(({ url, headers }) => {
      asked.push(headers.authorization)
      if (headers.authorization === undefined) return [401, 'who?', { 'www-authenticate': 'Negotiate' }]
      if (headers.authorization.includes('late'))
        return [403, 'GSSException: (Mechanism level: Clock skew too great (37))']
      return [200, url!.includes('op=GETDELEGATIONTOKEN') ? { Token: { urlString: 'HgAF' } } : { long: 5 }]
    })
    const shown = (word: string) => client(address, { negotiate: async (host) => `${word} for ${host}` })
    expect(await shown('ticket').takeToken()).toBe('HgAF')
    expect(await shown('ticket').renewToken('HgAF')).toBe(5)
    expect(asked).toEqual(Array(2).fill('Negotiate ticket for 127.0.0.1'))
    await expect(client(address).status('/a')).rejects.toMatchObject({
      ...{ code: 'HDFS_LOGIN', hint: expect.stringContaining('kerberos: true') },
    })
    await expect(shown('late').takeToken()).rejects.toMatchObject({
      ...{ code: 'HDFS_LOGIN', hint: expect.stringContaining('clocks') },
    })
  })

  it('that is slow is given up, and asked again', async () => {
    let silent = 2
    const server = createServer((_, response) => {
      if (silent-- > 0) return
      response.end(JSON.stringify(found[1]))
    })
    const address = await listen(server)
    expect(await client(address, { idleMs: 200, patienceMs: 60_000 }).status('/a')).toMatchObject({ length: 3 })
    silent = 1000
    const started = client(address, { idleMs: 100, patienceMs: 300 }).status('/a')
    await expect(started).rejects.toMatchObject({
      code: 'HDFS_UNREACHABLE',
      message: expect.stringMatching(/no word for/),
    })
    server.closeAllConnections()
  })

  describe('says where blocks lie', () => {
    const located = {
      BlockLocations: {
        BlockLocation: [
          {
            offset: 0,
            length: 8,
            hosts: ['dn1', 'dn2'],
            topologyPaths: ['/dc/r1/10.0.0.1:9866', '/dc/r2/10.0.0.2:9866'],
          },
          { offset: 8, length: 3, hosts: ['dn2'], topologyPaths: ['/dc/r2/10.0.0.2:9866'] },
        ],
      },
    }
    const older = {
      LocatedBlocks: {
        locatedBlocks: [
          {
            startOffset: 0,
            block: { numBytes: 8 },
            locations: [
              { hostName: 'dn1', networkLocation: '/dc/r1' },
              { hostName: 'dn2', networkLocation: '/dc/r2' },
            ],
          },
          { startOffset: 8, block: { numBytes: 3 }, locations: [{ hostName: 'dn2', networkLocation: '/dc/r2' }] },
        ],
      },
    }
    const blocks = [
      { offset: 0, length: 8, nodes: ['/dc/r1/dn1', '/dc/r2/dn2'] },
      { offset: 8, length: 3, nodes: ['/dc/r2/dn2'] },
    ]
    const illegal = { RemoteException: { exception: 'IllegalArgumentException', message: 'Invalid value' } }

    it.each([
      ['as of now', 400, 0],
      ['as of old', 400, 1],
      ['as of an old HttpFS', 500, 1],
    ])('%s', async (_, status, isOld) => {
      const asked: string[] = []
      const address = await nameNode(({ url }) => {
        const op = new URL(url!, 'http://x').searchParams.get('op')!
        asked.push(op)
        if (op === 'GET_BLOCK_LOCATIONS') return [200, older]
        return isOld === 1 ? [status, illegal] : [200, located]
      })
      const hdfs = client(address)
      expect(await hdfs.blocks('/a')).toEqual(blocks)
      expect(await hdfs.blocks('/a')).toEqual(blocks)
      const [known, last] = [new Set(asked), asked.at(-1)]
      expect(known.size).toBe(1 + isOld)
      expect(last).toBe(isOld === 1 ? 'GET_BLOCK_LOCATIONS' : 'GETFILEBLOCKLOCATIONS')
    })

    it('of no file, and of one without a replica', async () => {
      const empty = { BlockLocations: { BlockLocation: [{ offset: 0, length: 8, hosts: [], topologyPaths: [] }] } }
      const address = await nameNode(({ url }) =>
        url!.includes('/lost') ? [200, empty] : exception('FileNotFoundException'),
      )
      expect(await client(address).blocks('/none')).toBeUndefined()
      expect(await client(address).blocks('/lost')).toEqual([{ offset: 0, length: 8, nodes: [] }])
    })
  })

  it('keeps away from data nodes that fail, until no other is left', async () => {
    const asked: (string | null)[] = []
    const good = await nameNode(() => [200, 'content'])
    const dead = '127.0.0.1:1'
    const address = await nameNode(({ url }) => {
      const excluded = new URL(url!, 'http://x').searchParams.get('excludedatanodes')
      asked.push(excluded)
      const node = excluded === dead ? good : dead
      return [307, '', { location: `http://${node}/webhdfs/v1/a?op=OPEN` }]
    })
    const hdfs = client(address)
    const read = () =>
      hdfs.read(
        '/a',
        () => ({ offset: 0 }),
        async (reply) => {
          let text = ''
          for await (const chunk of reply) text += String(chunk)
          return text
        },
      )
    expect(await read()).toBe('content')
    expect(await read()).toBe('content')
    expect(asked).toEqual([null, dead, dead])
  })

  it('that speaks TLS, or does not, is told from one that is away', async () => {
    const plain = await nameNode(() => found)
    const secure = new WebHdfs(parseHdfsUrl(`swebhdfs://${plain}/`), { patienceMs: 1000 })
    await expect(secure.status('/a')).rejects.toMatchObject({
      code: 'HDFS_UNREACHABLE',
      hint: expect.stringContaining('webhdfs://'),
    })
    // What a TLS server says to plain HTTP: an alert.
    const tls = await listen(createSocketServer((socket) => socket.end(Buffer.from('15030300020250', 'hex'))))
    await expect(client(tls, { patienceMs: 1000 }).status('/a')).rejects.toMatchObject({
      code: 'HDFS_UNREACHABLE',
      hint: expect.stringContaining('swebhdfs://'),
    })
  })

  it('is sent a body when it asks for it, once', async () => {
    let text = ''
    const server = createServer().on('checkContinue', (request: IncomingMessage, response) => {
      if (request.url === '/no') return response.writeHead(403).end('refused')
      response.writeContinue()
      response.writeContinue()
      request.on('data', (chunk) => (text += chunk))
      request.on('end', () => response.writeHead(201).end())
    })
    const url = `http://${await listen(server)}`
    let opened = 0
    const { Readable } = await import('node:stream')
    const body = { length: 3, open: () => Readable.from([Buffer.from(String(++opened).repeat(3))]) }
    const put = async (path: string) =>
      (await exchange({ method: 'PUT', url: new URL(`${url}${path}`), body, idleMs: 2000, hosts: {} })).statusCode
    expect(await put('/yes')).toBe(201)
    expect(await put('/no')).toBe(403)
    expect([text, opened]).toEqual(['111', 1])
  })
})

it('finds no server at a port that is closed', async () => {
  await new Promise<void>((resolve) => connect(1, '127.0.0.1').on('error', () => resolve()))
  const nowhere = new WebHdfs(parseHdfsUrl('webhdfs://127.0.0.1:1/'), { patienceMs: 100 })
  await expect(nowhere.status('/a')).rejects.toMatchObject({
    code: 'HDFS_UNREACHABLE',
    message: expect.stringContaining('cannot look at webhdfs://127.0.0.1:1/a'),
  })
})

describe('a body', () => {
  it('that turns out shorter than it was said to be is an error at once', async () => {
    const { Readable } = await import('node:stream')
    const server = createServer().on('checkContinue', (request: IncomingMessage, response) => {
      response.writeContinue()
      request.resume()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    const body = { length: 300_000, open: () => Readable.from([Buffer.alloc(100_000), Buffer.alloc(100_000)]) }
    await expect(exchange({ method: 'PUT', url, body, idleMs: 60_000, hosts: {} })).rejects.toMatchObject({
      code: 'FILE_BUSY',
      message: expect.stringContaining('200000 of 300000'),
    })
    server.closeAllConnections()
    server.close()
  })
})
