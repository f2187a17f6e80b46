import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fakeJob } from '../../fakes/array.ts'
import { script, useRunner } from '../../fakes/task.ts'

const must = (path: string) => ({ path, optional: false })
const may = (path: string) => ({ path, optional: true })

describe('runner', () => {
  const runner = useRunner()
  const input = (name: string, content: string, at = name) => {
    const path = join(runner.scratch, at)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, content)
    return { name, path, size_bytes: content.length, mtime: Math.round(statSync(path).mtimeMs * 1000) }
  }

  it('runs jobs with inputs, outputs, streams and variables, and seals', async () => {
    const ran = await runner.run([
      fakeJob('one', {
        ...script('cat a.csv sub/b.csv > mean/1.csv; echo "$FLOE_JOB $FLOE_CAMPAIGN $FLOE_SLOT"; echo oh >&2; ls >&2'),
        inputs: [input('a.csv', 'a\n'), input('sub/b.csv', 'b\n')],
        outputs: [must('mean/1.csv')],
      }),
      fakeJob('two', {
        ...script('cat; echo "$FLOE_INPUT_1 $FLOE_OUTPUT_2 $LANG"'),
        inputs: [input('in', 'from stdin\n')],
        outputs: [must('out.txt'), may('no.txt')],
        stdin: 'in',
        stdout: 'out.txt',
        environment: { LANG: 'C', 'odd.name': 'x' },
      }),
    ])
    expect(ran.seal).toBe('done')
    expect(ran.exit).toBe(0)
    const one = ran.ended.get('one')!
    expect(one).toMatchObject({
      verdict: 'succeeded',
      class: null,
      exit: 0,
      rule: 'exit 0',
      slot: 0,
      try: 1,
      revision: 1,
    })
    expect(readFileSync(join(ran.outputs, 'mean/1.csv'), 'utf8')).toBe('a\nb\n')
    expect(one.outputs[0]).toMatchObject({ path: 'mean/1.csv', size_bytes: 4 })
    expect(one.outputs[0]!.digest).toBe(`sha256:${createHash('sha256').update('a\nb\n').digest('hex')}`)
    expect(ran.log(one.stdout)).toBe('one c-1 0\n')
    expect(ran.log(one.stderr)).toBe('oh\na.csv\nmean\nsub\n')
    expect(readFileSync(join(ran.outputs, 'out.txt'), 'utf8')).toBe('from stdin\nin no.txt C\n')
    expect(ran.ended.get('two')!.outputs.length).toBe(1)
    expect(readdirSync(ran.outputs).sort()).toEqual(['mean', 'out.txt'])
    expect(readdirSync(join(runner.scratch, 'sandboxes'))).toEqual([])
  })

  it('gives each job its own inputs, whatever those before it did to theirs', async () => {
    const [x, y] = [input('in', 'x', 'x'), input('in', 'y', 'y')]
    const tampering = ['true', 'rm in', 'rm in; echo evil > in', 'ln -sf /dev/null in', 'mv in other', 'chmod 755 .']
    const jobs = Array.from({ length: 60 }, (_, at) => ({
      is: at % 3 === 0 ? y : x,
      fields: script(`cat in; ls | wc -l; ${tampering[at % tampering.length]}`),
    }))
    const ran = await runner.run(jobs.map(({ is, fields }, at) => fakeJob(`j${at}`, { ...fields, inputs: [is] })))
    for (const [at, { is }] of jobs.entries())
      expect(ran.log(ran.ended.get(`j${at}`)!.stdout)).toBe(`${is === y ? 'y' : 'x'}1\n`)
  })

  it('passes hostile arguments, names and variables as they are', async () => {
    const words = ["it's", '$(touch gone)', '`id`', 'two\nlines', '🧊😁', '-n', '', ' ', '"', '\\', 'a=b']
    const name = `-o 'q" $(x)\n🧊.txt`
    const ran = await runner.run([
      fakeJob(`job ${name}`, {
        program: '/bin/sh',
        arguments: [
          '-c',
          'printf "%s\\0" "$@" "$W" "$FLOE_JOB"; cat -- "$FLOE_INPUT_1"; cp -- "$FLOE_INPUT_1" "./$FLOE_OUTPUT_1"',
          'sh',
          ...words,
        ],
        inputs: [input(name, 'content', `in ${name}`)],
        outputs: [must(`out ${name}`)],
        environment: { W: words.join('') },
      }),
    ])
    const ended = ran.ended.get(`job ${name}`)!
    expect(ended.verdict).toBe('succeeded')
    expect(ran.log(ended.stdout)).toBe([...words, words.join(''), `job ${name}`, 'content'].join('\0'))
    expect(readFileSync(join(ran.outputs, `out ${name}`), 'utf8')).toBe('content')
  })

  it('runs setup once a slot, and its environment and PATH hold for the jobs', async () => {
    const ran = await runner.run(
      Array.from({ length: 6 }, (_, i) =>
        fakeJob(`j${i}`, { program: 'own-tool', outputs: [must(`o${i}`)], stdout: `o${i}` }),
      ),
      {
        setup: `mkdir -p '${runner.scratch}/bin'; printf '#!/bin/sh\\necho "$WHO"\\n' > '${runner.scratch}/bin/own-tool'
          chmod +x '${runner.scratch}/bin/own-tool'; export WHO=setup PATH='${runner.scratch}/bin':$PATH; echo run >> '${runner.scratch}/setups'; cd /; set -u`,
      },
      { args: ['--cpus', '2'] },
    )
    expect([...ran.ended.values()].map(({ verdict }) => verdict)).toEqual(Array(6).fill('succeeded'))
    expect(readFileSync(join(ran.outputs, 'o3'), 'utf8')).toBe('setup\n')
    expect(readFileSync(join(runner.scratch, 'setups'), 'utf8')).toBe('run\nrun\n')
    expect(ran.lines[0]).toMatchObject({ event: 'task started', slots: 2 })
  })

  it('says why it cannot work when setup fails, and decides no job', async () => {
    for (const setup of ['echo no such module >&2; false', 'echo leaving >&2; exit 3', 'if']) {
      const ran = await runner.run([fakeJob('a', script(':'))], { setup, array: `a${setup.length}` })
      expect(ran.seal).toBe('failed')
      expect([...ran.ended.values()]).toEqual([])
      expect(ran.exit).toBe(1)
      expect(ran.lines.at(-1)).toMatchObject({ event: 'task ended', message: expect.stringContaining('setup ended') })
    }
  })

  it('takes no root that is not mounted for a missing input, and decides no job', async () => {
    const root = join(runner.scratch, 'era5')
    const inputs = [{ name: '1.nc', path: join(root, '1982/1.nc'), size_bytes: 2, mtime: null }]
    const jobs = [fakeJob('a', { ...script(':'), inputs })]
    const gone = await runner.run(jobs, { roots: [root], array: 'a1' })
    expect(gone.lines.at(-1)).toMatchObject({ reason: 'failed', message: `the root ${root} is not there, or is empty` })
    mkdirSync(root)
    const bare = await runner.run(jobs, { roots: [root], array: 'a2' })
    expect([...bare.ended.values()]).toEqual([])
    mkdirSync(join(root, '1982'))
    const there = await runner.run(jobs, { roots: [root], array: 'a3' })
    expect(there.ended.get('a')).toMatchObject({ class: 'input' })
  })

  it('does not run again what an earlier attempt decided', async () => {
    const jobs = ['a', 'b', 'c'].map((name) =>
      fakeJob(name, script(`echo ${name} >> '${runner.scratch}/ran'; test ${name} != b`)),
    )
    const first = await runner.run(jobs)
    const record = join(first.directory, 'records', '0.1')
    const whole = readFileSync(record, 'utf8')
    // As after a node that died just before it could seal.
    writeFileSync(record, whole.slice(0, whole.trimEnd().lastIndexOf('\n') + 1))
    await (await runner.start(first.directory)).exit
    const second = runner.read(first.directory)
    expect(readFileSync(join(runner.scratch, 'ran'), 'utf8')).toBe('a\nb\nc\n')
    expect(readdirSync(join(first.directory, 'records')).sort()).toEqual(['0.1', '0.2'])
    expect(second.lines.at(-1)).toMatchObject({ event: 'task ended', reason: 'done', jobs: 0 })
  })

  it('leaves a task that is sealed alone, as after a requeue: what it left is planned anew', async () => {
    const first = await runner.run([fakeJob('a', script(`echo a >> '${runner.scratch}/ran'`))])
    await (await runner.start(first.directory)).exit
    expect(readFileSync(join(runner.scratch, 'ran'), 'utf8')).toBe('a\n')
    expect(readdirSync(join(first.directory, 'records'))).toEqual(['0.1'])
  })

  it('reads its own range of the manifest only', async () => {
    const { fakeArray } = await import('../../fakes/array.ts')
    const tasks = [0, 1, 2].map((task) => [fakeJob(`t${task}a`, script(':')), fakeJob(`t${task}b`, script(':'))])
    const directory = fakeArray(runner.scratch, tasks)
    const { exit } = await runner.start(directory, { task: 1 })
    await exit
    expect([...runner.read(directory).ended.keys()].sort()).toEqual(['t1a', 't1b'])
  })

  it('tells a check from a job that failed, and names a missing output', async () => {
    const ran = await runner.run([
      fakeJob('good', {
        ...script('echo 1 > o1'),
        outputs: [must('o1')],
        check: 'test -s "$FLOE_OUTPUT_1" && cd / && set -e',
      }),
      fakeJob('bad', { ...script(': > o2'), outputs: [must('o2')], check: 'test -s "$FLOE_OUTPUT_1" || exit 7' }),
      fakeJob('none', { ...script(':'), outputs: [must('o3')], check: 'test -s o3' }),
      fakeJob('exit', { ...script('exit 4'), check: 'echo never' }),
      fakeJob('odd', { ...script(':'), check: 'if' }),
    ])
    expect(ran.ended.get('good')).toMatchObject({ verdict: 'succeeded', checked: true })
    expect(ran.ended.get('bad')).toMatchObject({
      class: 'check',
      rule: 'check ended with exit 7',
      exit: 0,
      checked: false,
    })
    expect(ran.ended.get('none')).toMatchObject({
      class: 'check',
      rule: 'check ended with exit 1; output o3 is not there',
    })
    expect(ran.ended.get('exit')).toMatchObject({ class: 'app', rule: 'exit 4', exit: 4 })
    expect(ran.log(ran.ended.get('exit')!.stdout)).toBe('')
    expect(ran.ended.get('odd')).toMatchObject({ class: 'check' })
    expect(readdirSync(ran.outputs)).toEqual(['o1'])
  })

  it('keeps the newest sandboxes of failed jobs', async () => {
    const jobs = Array.from({ length: 9 }, (_, i) => fakeJob(`f${i}`, script(`echo ${i} > left; exit 1`)))
    const ran = await runner.run(jobs, { sandboxes_max: 4 })
    const kept = readdirSync(join(ran.directory, 'sandboxes'))
    expect(kept.length).toBe(4)
    for (let i = 5; i < 9; i++)
      expect(readFileSync(join(ran.directory, ran.ended.get(`f${i}`)!.sandbox!, 'left'), 'utf8')).toBe(`${i}\n`)
    const more = await runner.run(jobs.slice(0, 3), { sandboxes_max: 4, array: 'a2' })
    expect(readdirSync(join(more.directory, 'sandboxes')).length).toBe(3)
    expect(readdirSync(join(ran.directory, 'sandboxes')).length).toBe(1)
  })

  it('refuses what leads outside of the job, and takes what lies within', async () => {
    const secret = input('secret', 'secret')
    const ran = await runner.run([
      fakeJob('link', { ...script(`ln -s '${secret.path}' o`), outputs: [must('o')] }),
      fakeJob('folder', { ...script(`mkdir -p x; ln -s '${runner.scratch}' x/l; echo > x/ok`), outputs: [must('x/')] }),
      fakeJob('parent', { ...script(`rmdir d; ln -s '${runner.scratch}' d`), outputs: [must('d/secret')] }),
      fakeJob('within', { ...script('echo 1 > v2; ln -s v2 v'), outputs: [must('v')] }),
      fakeJob('hard', { ...script(`ln '${secret.path}' h`), outputs: [must('h')] }),
      fakeJob('fifo', { ...script('mkfifo p'), outputs: [must('p')] }),
      fakeJob('input', { ...script(':'), inputs: [{ ...secret, name: 'same.csv' }], outputs: [must('*.csv')] }),
      fakeJob('tree', { ...script('mkdir -p t/u; echo 12 > t/u/f; ln -s u t/l'), outputs: [must('t/')] }),
    ])
    const rule = (job: string) => ran.ended.get(job)!.rule
    expect(rule('link')).toContain("leads outside the job's directory")
    expect(rule('folder')).toContain('holds a link that leads outside')
    expect(rule('parent')).toContain('leads outside')
    expect(rule('within')).toBe('exit 0')
    expect(rule('hard')).toBe('exit 0')
    expect(statSync(join(ran.outputs, 'h')).ino).not.toBe(statSync(secret.path).ino)
    expect(rule('fifo')).toContain('neither a file nor a directory')
    expect(rule('input')).toBe('no output matches *.csv')
    expect(ran.ended.get('tree')!.outputs).toEqual([{ path: 't', size_bytes: 3, digest: null }])
    expect(readFileSync(join(ran.outputs, 't/l/f'), 'utf8')).toBe('12\n')
    expect(readdirSync(ran.outputs).sort()).toEqual(['h', 't', 'v'])
  })

  it('expands globs and replaces older outputs', async () => {
    mkdirSync(join(runner.scratch, 'outputs/t'), { recursive: true })
    writeFileSync(join(runner.scratch, 'outputs/a.1.csv'), 'old')
    writeFileSync(join(runner.scratch, 'outputs/t/old'), 'old')
    const ran = await runner.run([
      fakeJob('glob', {
        ...script('echo 1 > a.1.csv; echo 2 > a.2.csv; echo 3 > a.x.csv; mkdir -p d/e; echo 4 > d/e/f.nc'),
        outputs: [must('a.[0-9].csv'), must('**/*.nc'), may('*.none')],
      }),
      fakeJob('tree', { ...script('mkdir -p t; echo new > t/new'), outputs: [must('t/')] }),
    ])
    expect(ran.ended.get('glob')!.outputs.map(({ path }) => path)).toEqual(['a.1.csv', 'a.2.csv', 'd/e/f.nc'])
    expect(readFileSync(join(ran.outputs, 'a.1.csv'), 'utf8')).toBe('1\n')
    expect(readdirSync(join(ran.outputs, 't'))).toEqual(['new'])
    expect(ran.ended.get('tree')!.verdict).toBe('succeeded')
  })

  it('publishes outputs that links lead to, and the links as files', async () => {
    const ran = await runner.run([
      fakeJob('latest', {
        ...script('mkdir m; for i in 1 2; do echo $i > m/$i.csv; done; ln -s 2.csv m/a.csv; ln -s 1.csv m/z.csv'),
        outputs: [{ path: 'm/*.csv', optional: false }],
      }),
      fakeJob('folder', {
        ...script('mkdir d; echo in > d/in; ln -s d/in out; ln -s d all'),
        outputs: ['d/in', 'out', 'all/'].map((path) => ({ path, optional: false })),
      }),
    ])
    for (const name of ['latest', 'folder']) expect(ran.ended.get(name)!.rule).toBe('exit 0')
    const text = (name: string) => readFileSync(join(ran.outputs, name), 'utf8')
    expect(['1', 'z', '2', 'a'].map((name) => text(`m/${name}.csv`))).toEqual(['1\n', '1\n', '2\n', '2\n'])
    expect(['d/in', 'out', 'all/in'].map(text)).toEqual(['in\n', 'in\n', 'in\n'])
  })

  it('names inputs that are gone or changed', async () => {
    const good = input('good', '12345')
    const ran = await runner.run([
      fakeJob('gone', {
        ...script(':'),
        inputs: [{ name: 'x', path: join(runner.scratch, 'nope'), size_bytes: null, mtime: null }],
      }),
      fakeJob('size', { ...script(':'), inputs: [{ ...good, size_bytes: 6 }] }),
      fakeJob('time', { ...script(':'), files: [{ ...good, mtime: good.mtime - 60e6 }] }),
      fakeJob('good', { ...script('test $(cat good) = 12345'), inputs: [good] }),
    ])
    for (const job of ['gone', 'size', 'time'])
      expect(ran.ended.get(job)).toMatchObject({ class: 'input', verdict: 'failed' })
    expect(ran.ended.get('gone')!.rule).toContain('is not there')
    expect(ran.ended.get('size')!.rule).toBe('input good has 5 bytes, 6 when it was planned')
    expect(ran.ended.get('time')!.rule).toContain('was changed')
    expect(ran.ended.get('good')!.verdict).toBe('succeeded')
  })

  it('runs each job once when long ones stand among tiny ones, and idle slots take over', async () => {
    const count = 300
    const ran = await runner.run(
      Array.from({ length: count }, (_, i) =>
        fakeJob(`j${i}`, script(`echo ${i} >> '${runner.scratch}/ran'; ${i % 40 === 7 ? 'sleep 0.3' : ':'}`)),
      ),
      {},
      { args: ['--cpus', '3'] },
    )
    const names = readFileSync(join(runner.scratch, 'ran'), 'utf8').split('\n').filter(Boolean).map(Number)
    expect(names.sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i))
    expect(ran.ended.size).toBe(count)
    expect([...ran.ended.values()].every(({ verdict }) => verdict === 'succeeded')).toBe(true)
    expect(new Set([...ran.ended.values()].map(({ slot }) => slot)).size).toBe(3)
    expect(ran.lines.filter(({ event }) => event === 'job ended').length).toBe(count)
  })

  it('goes on when a job removes the directories of others', async () => {
    const jobs = [0, 1, 2, 3, 4, 5].map((i) =>
      fakeJob(`j${i}`, {
        ...script(i === 1 ? 'rm -rf ../[0-9]*; sleep 0.3' : 'echo 1 > o'),
        outputs: [{ path: 'o', optional: true }],
      }),
    )
    const ran = await runner.run([...Array.from({ length: 20 }, (_, i) => fakeJob(`t${i}`, script(':'))), ...jobs])
    expect(ran.seal).toBe('done')
    expect(ran.ended.size).toBe(26)
    expect(ran.ended.get('j5')!.verdict).toBe('succeeded')
  })
})
