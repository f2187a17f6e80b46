import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { quote } from '../../connectors/quote.ts'
import type { Carried, Transport } from '../../connectors/transport/transport.ts'

export interface TransportUnderTest {
  /** With outputs of 16 MB at most. */
  open(): Promise<Transport>
  /** A folder on the other side that may be written, absolute. */
  readonly scratch: string
  /** A folder on a file system of the other side with less than 16 MB left. Absent: there is none. */
  readonly tight?: string
  /** Cuts whatever is under way as a network would. Absent: there is nothing to cut. */
  cut?(): Promise<void> | void
}

const NAMES = [
  'plain',
  'with blank',
  `quote's "both"`,
  'two\nlines',
  'ice 🧊 été',
  '-n',
  '$(reboot) `x` \\ *',
  '.hidden',
  '~',
]

const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Resolves when `look` gives something true; the test's own time limit ends it otherwise. */
async function until(look: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await look())) await pause(20)
}

/** What every transport keeps. Each test has a folder of its own on both sides. */
export function transportConformance(name: string, site: TransportUnderTest): void {
  describe(`transport ${name}`, () => {
    let transport: Transport
    /** Looks on while the other one is busy, which may have but one channel. */
    let watcher: Transport
    let here: string
    let there: string

    beforeEach(async () => {
      transport = await site.open()
      watcher = await site.open()
      here = mkdtempSync(join(tmpdir(), 'floe-here-'))
      there = `${site.scratch}/${randomBytes(6).toString('hex')}`
      await run(`mkdir -p ${quote(there)}`)
    })

    afterEach(async () => {
      await run(`chmod -R u+rwx ${quote(there)}; rm -rf ${quote(there)}`, watcher).catch(() => undefined)
      await Promise.all([transport.close(), watcher.close()])
      rmSync(here, { recursive: true, force: true })
    })

    async function run(script: string, by = transport): Promise<string> {
      const output = await by.run(script)
      expect(output, script).toMatchObject({ exit: 0 })
      return output.stdout
    }

    const bytesThere = async (path: string): Promise<Buffer> =>
      (await transport.runBytes(`cat < ${quote(path)}`)).stdout
    const isThere = async (path: string): Promise<boolean> => (await watcher.run(`test -e ${quote(path)}`)).exit === 0
    const namesThere = async (path: string): Promise<string[]> =>
      (await run(`ls -A ${quote(path)}`)).split('\n').filter((line) => line !== '')

    function fileHere(file: string, bytes: Buffer): string {
      const path = join(here, file)
      writeFileSync(path, bytes)
      return path
    }

    describe('run', () => {
      it('tells stdout, stderr and exit apart', async () => {
        expect(await transport.run('echo out; echo err >&2; exit 7')).toEqual({
          exit: 7,
          stdout: 'out\n',
          stderr: 'err\n',
        })
        expect(await transport.run('')).toEqual({ exit: 0, stdout: '', stderr: '' })
        expect(await transport.run('printf "no newline"; false')).toEqual({ exit: 1, stdout: 'no newline', stderr: '' })
      })

      it('gives any exit as the script had it', async () => {
        const exits = [
          'exit 255',
          'exec sh -c "exit 3"',
          'sh -c "kill -9 \\$\\$"',
          'cd /nowhere 2>/dev/null',
          'set -e; false; echo no',
        ]
        const seen = await Promise.all(exits.map(async (script) => (await transport.run(script)).exit))
        expect(seen.slice(0, 3)).toEqual([255, 3, 137])
        expect(seen.slice(3).every((exit) => exit === 1 || exit === 2)).toBe(true)
      })

      it('says what the shell says of a script that is none', async () => {
        for (const script of ["echo 'open", 'if true', ') } fi', 'no-such-command-here']) {
          const output = await transport.run(script)
          expect(output.exit, script).toBeGreaterThan(0)
          expect(output.stderr, script).not.toBe('')
          expect(output.stdout, script).toBe('')
        }
      })

      it('runs sh, whatever the login shell is', async () => {
        expect(await run('VAR=value; f() { echo "$VAR-$1"; }; f "a b" 2>&1; case x in x) echo yes;; esac')).toBe(
          'value-a b\nyes\n',
        )
        expect(await run('X=1 env | grep "^X="')).toBe('X=1\n')
        expect(await run('pwd -P')).toBe(await run('cd; pwd -P'))
      })

      it('takes a script with anything in it', async () => {
        for (const text of NAMES) expect(await run(`printf %s ${quote(text)}`)).toBe(text)
        expect(await run('cat <<"END"\n  it\'s $HOME\n\tTab\nEND\n# the last line is a comment')).toBe(
          "  it's $HOME\n\tTab\n",
        )
      })

      it('gives a command that reads its stdin nothing, and runs the rest', async () => {
        expect(await run('cat; echo one; read -r line; echo "[$line]"; sh -s; echo two')).toBe('one\n[]\ntwo\n')
      })

      it('gives bytes as they were', async () => {
        const all = Buffer.from(Array.from({ length: 256 }, (_, at) => at))
        const octal = [...all].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
        const { stdout } = await transport.runBytes(`printf '${octal}'`)
        expect(stdout.equals(all)).toBe(true)
        expect((await transport.run(`printf '\\377ice'`)).stdout).toBe('\ufffdice')
      })

      it('carries 10 MB of output and a script of 1 MB', async () => {
        const { stdout } = await transport.runBytes('head -c 10000000 /dev/zero | tr "\\000" x; echo end')
        expect(stdout.length).toBe(10_000_004)
        expect(stdout.subarray(0, 10_000_000).every((byte) => byte === 0x78)).toBe(true)
        const long = 'word '.repeat(200_000)
        expect((await run(`echo ${quote(long)} | wc -c`)).trim()).toBe(String(long.length + 1))
      })

      it('runs 20 at once and mixes nothing up', async () => {
        const outputs = await Promise.all(
          Array.from({ length: 20 }, (_, at) =>
            transport.run(`echo ${at}; sleep 0.0${at % 5}; echo ${at} >&2; exit ${at}`),
          ),
        )
        expect(outputs).toEqual(outputs.map((_, at) => ({ exit: at, stdout: `${at}\n`, stderr: `${at}\n` })))
      })

      it('does not wait for children in the background, and leaves them alone', async () => {
        expect(
          await run(
            `(while ! [ -e ${quote(`${there}/go`)} ]; do sleep 0.05; done; : > ${quote(`${there}/done`)}) & echo out`,
          ),
        ).toBe('out\n')
        await run(`: > ${quote(`${there}/go`)}`)
        await until(() => isThere(`${there}/done`))
      })

      it('ends what takes too long, with its children', async () => {
        const pids = quote(`${there}/pids`)
        const slow = transport.run(
          `sleep 600 & echo $! > ${pids}; sh -c 'echo $$ >> ${pids.replaceAll("'", '')}; exec sleep 600'; echo no`,
          { timeoutMs: 1500 },
        )
        await expect(slow).rejects.toMatchObject({
          kind: 'unreachable',
          message: expect.stringContaining('longer than 1.5 s'),
        })
        await until(
          async () =>
            (await watcher.run(`for pid in $(cat ${pids}); do kill -0 $pid && exit 1; done; exit 0`)).exit === 0,
        )
        expect((await run(`wc -l < ${pids}`)).trim()).toBe('2')
        expect(await run('echo next')).toBe('next\n')
      })

      it('ends what ignores TERM', async () => {
        const pid = quote(`${there}/pid`)
        const stubborn = transport.run(`trap '' TERM; sh -c 'echo $PPID' > ${pid}; while :; do sleep 0.1; done`, {
          timeoutMs: 1000,
        })
        await expect(stubborn).rejects.toMatchObject({ kind: 'unreachable' })
        await until(async () => (await watcher.run(`kill -0 $(cat ${pid})`)).exit !== 0)
      })

      it('stops for its signal, before and while it runs', async () => {
        const control = new AbortController()
        const started = quote(`${there}/started`)
        const run = transport.run(`: > ${started}; sleep 600`, { signal: control.signal })
        const failed = expect(run).rejects.toThrow('the user went home')
        await until(() => isThere(`${there}/started`))
        control.abort(new Error('the user went home'))
        await failed
        await expect(transport.run(`: > ${quote(`${there}/second`)}`, { signal: control.signal })).rejects.toThrow(
          'went home',
        )
        expect(await isThere(`${there}/second`)).toBe(false)
      })

      it('refuses more output than memory should hold', async () => {
        await expect(transport.run('cat /dev/zero')).rejects.toMatchObject({
          kind: 'unreadable',
          message: expect.stringContaining('16 MB'),
        })
        expect(await run('echo next')).toBe('next\n')
      })

      it('takes no answer from a shell that was ended', async () => {
        await expect(transport.run('echo half; kill -9 $$; sleep 5')).rejects.toMatchObject({ kind: 'unreachable' })
      })
    })

    describe('send and fetch', () => {
      it('carry files of any name and content there and back', async () => {
        const files = NAMES.map((file, at) => {
          const bytes = at === 0 ? Buffer.alloc(0) : randomBytes(at * 50_000)
          return {
            here: fileHere(file, bytes),
            there: `${there}/new/deeper ${at}/${file}`,
            digest: sha256(bytes),
            bytes,
          }
        })
        let sent = 0
        await transport.send(files, { onBytes: (bytes) => (sent += bytes) })
        expect(sent).toBe(files.reduce((sum, { bytes }) => sum + bytes.length, 0))
        for (const { there, bytes } of files) expect((await bytesThere(there)).equals(bytes)).toBe(true)
        const back = files.map(({ there, digest }, at) => ({ here: join(here, `back/${at}/file`), there, digest }))
        await transport.fetch(back)
        for (const [at, { bytes }] of files.entries()) expect(readFileSync(back[at]!.here).equals(bytes)).toBe(true)
        expect(await namesThere(`${there}/new/deeper 1`)).toEqual(['with blank'])
        expect(readdirSync(join(here, 'back/1'))).toEqual(['file'])
      })

      it('set permissions, private unless told, and replace what is there', async () => {
        const script = fileHere('script', Buffer.from('#!/bin/sh\necho ran\n'))
        await run(`umask 077; echo old > ${quote(`${there}/script`)}`)
        await transport.send([
          { here: script, there: `${there}/script`, mode: 0o755 },
          { here: script, there: `${there}/private` },
        ])
        expect(await run(quote(`${there}/script`))).toBe('ran\n')
        const modes = await run(`cd ${quote(there)}; ls -l script private | cut -c1-10`)
        expect(modes).toBe('-rw-------\n-rwxr-xr-x\n')
        writeFileSync(join(here, 'target'), 'old')
        await transport.fetch([{ here: join(here, 'target'), there: `${there}/script`, mode: 0o500 }])
        expect(statSync(join(here, 'target')).mode & 0o777).toBe(0o500)
        expect(readFileSync(join(here, 'target'), 'utf8')).toContain('echo ran')
      })

      it('leave what has its digest already, and carry the rest', async () => {
        const bytes = randomBytes(1000)
        const file = { here: fileHere('cached', bytes), there: `${there}/cached`, digest: sha256(bytes) }
        await transport.send([file])
        const inode = await run(`ls -i ${quote(file.there)}`)
        let carried = 0
        await transport.send([file], { onBytes: (count) => (carried += count) })
        expect(carried).toBe(0)
        expect(await run(`ls -i ${quote(file.there)}`)).toBe(inode)
        await run(`echo other > ${quote(file.there)}`)
        await transport.send([file], { onBytes: (count) => (carried += count) })
        expect(carried).toBe(1000)
        expect((await bytesThere(file.there)).equals(bytes)).toBe(true)
      })

      it('refuse a wrong digest and leave no target', async () => {
        const digest = sha256(Buffer.from('other'))
        const sent = fileHere('wrong', randomBytes(5000))
        await expect(transport.send([{ here: sent, there: `${there}/wrong`, digest }])).rejects.toMatchObject({
          kind: 'unreadable',
          message: expect.stringContaining(digest),
        })
        expect(await namesThere(there)).toEqual([])
        await run(`echo x > ${quote(`${there}/wrong`)}`)
        const target = join(here, 'sub', 'wrong')
        await expect(transport.fetch([{ here: target, there: `${there}/wrong`, digest }])).rejects.toMatchObject({
          kind: 'unreadable',
        })
        expect(readdirSync(join(here, 'sub'))).toEqual([])
      })

      it('say which file is missing or forbidden, and what to do', async () => {
        const absent: Carried = { here: join(here, 'absent'), there: `${there}/absent` }
        const refused = {
          kind: 'refused',
          message: expect.stringMatching(/absent.*no such file/),
          hint: expect.stringMatching(/\.$/),
        }
        await expect(transport.send([absent])).rejects.toMatchObject(refused)
        await expect(transport.fetch([absent])).rejects.toMatchObject(refused)
        await expect(transport.fetch([{ here: join(here, 'x'), there }])).rejects.toMatchObject({ kind: 'refused' })
        expect(await namesThere(there)).toEqual([])
        const file = fileHere('file', Buffer.from('x'))
        await run(`echo x > ${quote(`${there}/plain`)}`)
        await expect(transport.send([{ here: file, there: `${there}/plain/below` }])).rejects.toMatchObject({
          kind: 'refused',
        })
      })

      it('carry 300 small files in a call', async () => {
        const bytes = Array.from({ length: 300 }, () => randomBytes(2000))
        const files = bytes.map((content, at) => ({
          ...{
            here: fileHere(`small ${at}`, content),
            there: `${there}/many/${at % 7}/${at}`,
            digest: sha256(content),
          },
        }))
        await transport.send(files)
        expect((await run(`find ${quote(`${there}/many`)} -type f | wc -l`)).trim()).toBe('300')
        await transport.fetch(files.map((file, at) => ({ ...file, here: join(here, 'back', String(at)) })))
        expect(bytes.every((content, at) => readFileSync(join(here, 'back', String(at))).equals(content))).toBe(true)
      })

      it.each(['send', 'fetch'] as const)('%s goes on where it stopped', async (way) => {
        const bytes = randomBytes(16 << 20)
        const file = { here: fileHere('large', bytes), there: `${there}/large`, digest: sha256(bytes) }
        if (way === 'fetch') {
          await transport.send([file])
          file.here = join(here, 'came back')
        }
        const control = new AbortController()
        let first = 0
        const stopped = transport[way]([file], {
          signal: control.signal,
          onBytes(count) {
            first += count
            if (first > 10 << 20) control.abort(new Error('stop'))
          },
        })
        await expect(stopped).rejects.toThrow('stop')
        expect(way === 'send' ? await namesThere(there) : readdirSync(here)).not.toContain(
          way === 'send' ? 'large' : 'came back',
        )
        let second = 0
        await transport[way]([file], { onBytes: (count) => (second += count) })
        expect(second).toBeLessThan(bytes.length - (6 << 20))
        expect(way === 'send' ? sha256(await bytesThere(file.there)) : sha256(readFileSync(file.here))).toBe(
          file.digest,
        )
        expect(await namesThere(there)).toEqual(['large'])
      })

      it('start anew when what was left behind is not the beginning of the file', async () => {
        const bytes = randomBytes(12 << 20)
        const file = { here: fileHere('torn', bytes), there: `${there}/torn`, digest: sha256(bytes) }
        const control = new AbortController()
        const stopped = transport.send([file], {
          signal: control.signal,
          onBytes: () => control.abort(new Error('stop')),
        })
        await expect(stopped).rejects.toThrow('stop')
        const [part] = await namesThere(there)
        await run(`head -c 9000000 /dev/zero > ${quote(`${there}/${part}`)}`)
        await transport.send([file])
        expect(sha256(await bytesThere(file.there))).toBe(file.digest)
        expect(await namesThere(there)).toEqual(['torn'])
      })

      it('carry the same file from several calls at once', async () => {
        const bytes = randomBytes(6 << 20)
        const file = { here: fileHere('popular', bytes), there: `${there}/popular`, digest: sha256(bytes) }
        const other = await site.open()
        await Promise.all([transport.send([file]), transport.send([file]), other.send([file]), other.send([file])])
        await other.close()
        expect(sha256(await bytesThere(file.there))).toBe(file.digest)
        expect(await namesThere(there)).toEqual(['popular'])
      })

      if (site.tight !== undefined) {
        const tight = site.tight
        it('say when the other side is full, and keep what was carried', async () => {
          const file = { here: fileHere('large', randomBytes(16 << 20)), there: `${tight}/large` }
          await expect(transport.send([file])).rejects.toMatchObject({
            kind: 'refused',
            message: expect.stringMatching(/[Nn]o space is left|quota/),
            hint: expect.stringContaining('space'),
          })
          expect(await isThere(file.there)).toBe(false)
          await run(`rm -f ${quote(tight)}/.[!.]*`)
        })
      }
    })

    if (site.cut) {
      const cut = site.cut.bind(site)
      describe('a cut connection', () => {
        it('is told as such, never as a result, and nothing runs again', async () => {
          const ran = quote(`${there}/ran`)
          const lost = transport.run(`echo ran >> ${ran}; sleep 5; echo result`)
          const failed = expect(lost).rejects.toMatchObject({ kind: 'unreachable' })
          await until(() => isThere(`${there}/ran`))
          await cut()
          await failed
          expect(await run(`cat ${ran}`)).toBe('ran\n')
        })

        it('leaves a transfer that goes on', async () => {
          const bytes = randomBytes(32 << 20)
          const file = { here: fileHere('large', bytes), there: `${there}/large`, digest: sha256(bytes) }
          let first = 0
          const lost = transport.send([file], {
            onBytes(count) {
              if (first < 20 << 20 && first + count >= 20 << 20) void cut()
              first += count
            },
          })
          await expect(lost).rejects.toMatchObject({ kind: 'unreachable' })
          expect(await isThere(file.there)).toBe(false)
          let second = 0
          await transport.send([file], { onBytes: (count) => (second += count) })
          expect(second).toBeLessThan(bytes.length - (8 << 20))
          expect(await run(`sha256sum < ${quote(file.there)} | cut -c 1-64`)).toBe(`${file.digest.slice(7)}\n`)
        })
      })
    }
  })
}
