import { afterAll, beforeAll, expect, it } from 'vitest'
import { describeSite } from './engine.ts'
import { type KerberizedSite, startKerberizedHdfs } from './kerberos.ts'
import { until } from './machine.ts'

/* An HDFS that lets in who has a ticket of Kerberos, and tasks by delegation tokens that do not live long. */

const HOME = '/home/alice'

describeSite('HDFS with Kerberos', { timeout: 300_000 }, () => {
  let site: KerberizedSite
  beforeAll(async () => {
    site = await startKerberizedHdfs({ renewSec: 20, maxSec: 40 })
    await site.ask('PUT', '/campaigns', 'op=MKDIRS&permission=1777')
  })
  afterAll(() => site?.stop())

  const floe = (...args: string[]) => site.floe('alice', ...args)
  const here = (script: string) => site.desk.ask(script, 'alice')
  const isThere = async (path: string) => (await site.desk.run(`[ -e ${path} ]`)).exit === 0
  const write = (path: string, text: string) =>
    here(`mkdir -p "$(dirname '${path}')"; cat > '${path}' <<'END'\n${text}\nEND\nchmod 600 '${path}'`)
  const sites = (hdfs: object) => {
    const there = { connector: 'local', scratch: `${HOME}/there`, interval: '1s', slots: 1 }
    return write(`${HOME}/.config/floe/sites.yaml`, JSON.stringify({ sites: { there }, hdfs: { namenode: hdfs } }))
  }
  const job = (id: string, input: string, { waits = false } = {}) => ({
    ...{ id, executable: 'sh', priority: waits ? 9 : 0 },
    arguments: [
      '-c',
      `${waits ? `touch ${HOME}/begun-${id}; until [ -e ${HOME}/go-${id} ]; do sleep 0.1; done;` : ''} cp in.txt ${id}.txt`,
    ],
    data: { input: [input], output: [`${id}.txt`] },
  })
  const lines = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).join('\n')

  it('lets nobody in without a ticket, and says what to do', async () => {
    const url = `${site.url}/campaigns/none`
    const refused = (words: RegExp) => ({ exit: 2, stderr: expect.stringMatching(words) })
    await sites({})
    expect(await floe('init', url)).toMatchObject(refused(/401[\s\S]*say `kerberos: true`/))
    await sites({ kerberos: true })
    expect(await floe('init', url)).toMatchObject(refused(/No Kerberos credentials[\s\S]*`kinit` gets a ticket/))
    await site.login('alice', '2s')
    const isLetIn = async () => (await site.desk.run('kvno HTTP/namenode', 'alice')).exit === 0
    await until(async () => !(await isLetIn()), { what: 'the ticket has ended' })
    expect(await floe('init', url)).toMatchObject(refused(/Ticket expired[\s\S]*`kinit` gets a new one/))
    await site.login('alice')
    await here(`echo nonsense > ${HOME}/token; chmod 600 ${HOME}/token`)
    await sites({ token: `${HOME}/token` })
    expect(await floe('init', url)).toMatchObject(refused(/token holds no delegation token/))
  })

  it('carries a campaign whose tasks wait for longer than any token lives', async () => {
    const url = `${site.url}/campaigns/winds`
    await sites({ kerberos: true })
    await site.login('alice')
    await here(`mkdir -p ${HOME}/there`)
    await site.ask('PUT', '/campaigns/out', 'op=MKDIRS&permission=1777')
    expect(await floe('init', url)).toMatchObject({ exit: 0 })
    await write(`${HOME}/floe.yaml`, `outputs: ${site.url}/campaigns/out`)
    await site.put('alice', `${HOME}/floe.yaml`, '/campaigns/winds/floe.yaml')
    await write(`${HOME}/in.txt`, 'wind')
    await site.put('alice', `${HOME}/in.txt`, '/campaigns/in.txt')
    const input = `${site.url}/campaigns/in.txt`
    await write(`${HOME}/jobs.ndjson`, lines([job('one', input, { waits: true }), job('two', input)]))
    expect(await floe('-C', url, 'add', `${HOME}/jobs.ndjson`)).toMatchObject({ exit: 0 })

    const run = () => floe('-C', url, 'run', '--site', 'there', '--jobs-per-batch', '1', '--json')
    const running = run()
    const entrances = `${HOME}/there/floe/campaigns/*/arrays/a000001/hdfs`
    const early = running.then((told) => Promise.reject(new Error(`it ended too early: ${JSON.stringify(told)}`)))
    const token = async () => Object.values(JSON.parse(await here(`cat ${entrances}`)) as Entrances)[0]!.token
    await Promise.race([early, until(() => isThere(`${HOME}/begun-one`), { what: 'the first job runs' })])
    const first = await token()
    const status = `${site.url.replace('webhdfs', 'http')}/webhdfs/v1/?op=GETFILESTATUS&delegation=${first}`
    await until(async () => (await site.desk.run(`curl -s '${status}'`)).stdout.includes('InvalidToken'), {
      what: 'the first token has ended',
    })
    await until(async () => (await token()) !== first, { what: 'the array has another token' })
    expect(await here(`stat -c %a ${entrances}`)).toBe('600')
    await here(`touch ${HOME}/go-one`)
    const told = await running
    expect(JSON.parse(told.stdout || '{}'), told.stderr).toMatchObject({
      succeeded: 2,
      failed: 0,
      decided: { succeeded: 2, failed: 0 },
    })
    expect(JSON.parse(await site.ask('GET', '/campaigns/out', 'op=LISTSTATUS')).FileStatuses.FileStatus).toMatchObject(
      ['one', 'two'].map((name) => ({ pathSuffix: `${name}.txt`, length: 5, owner: 'alice' })),
    )

    // The ticket goes while it runs: the run ends in time and in words, and another one goes on.
    await write(`${HOME}/more.ndjson`, lines([job('three', input, { waits: true })]))
    expect(await floe('-C', url, 'add', `${HOME}/more.ndjson`)).toMatchObject({ exit: 0 })
    const doomed = run()
    await until(() => isThere(`${HOME}/begun-three`), { what: 'the third job runs' })
    await here('kdestroy')
    expect(await doomed).toMatchObject({ exit: 2, stderr: expect.stringMatching(/HDFS_LOGIN[\s\S]*kinit/) })
    await here(`touch ${HOME}/go-three`)
    await site.login('alice')
    const again = await run()
    expect(JSON.parse(again.stdout || '{}'), again.stderr).toMatchObject({ succeeded: 3, failed: 0, pending: 0 })
    const once = 'select count(*)::int as rows, count(distinct job_id)::int as jobs from results'
    expect((await floe('-C', url, 'query', once, '--csv')).stdout).toBe('rows,jobs\n3,3\n')
  })
})

type Entrances = Record<string, { readonly token: string }>
