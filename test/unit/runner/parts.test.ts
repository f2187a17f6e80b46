import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CancelFiles } from '../../../jobs/runner/cancel.ts'
import { HEAD_BYTES, LogFile, LogSpool, TAIL_BYTES } from '../../../jobs/runner/log-spool.ts'
import { readTask } from '../../../jobs/runner/manifest-range.ts'
import { expand, fixedParent, globName } from '../../../jobs/runner/outputs.ts'
import { jobText, unspeakable } from '../../../jobs/runner/shell-text.ts'
import { judge, signalOf } from '../../../jobs/runner/verdict.ts'
import { fakeArray, fakeJob } from '../../fakes/array.ts'

let scratch: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'floe-parts-'))
})
afterEach(() => rmSync(scratch, { recursive: true, force: true }))

describe('log spool', () => {
  function spool() {
    mkdirSync(join(scratch, 'logs'))
    const log = new LogFile(scratch, '0.1.0.out')
    const made = new LogSpool(join(scratch, 'spool'), log)
    const text = (): string => {
      log.flush()
      return readFileSync(join(scratch, 'logs/0.1.0.out'), 'utf8')
    }
    return { made, log, text, write: (bytes: string) => writeSync(made.fd, bytes) }
  }

  it('cuts streams at their marks, whatever was read before', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ maxLength: 40 }), fc.nat(3)), { maxLength: 30 }), (jobs) => {
        rmSync(scratch, { recursive: true, force: true })
        mkdirSync(scratch)
        const { made, text, write } = spool()
        const ranges = jobs.map(([content, looks], seq) => {
          const mark = `\x1e@n ${seq}\n`
          const half = Math.floor(content.length / 2)
          write(content.slice(0, half))
          for (let look = 0; look < looks; look++) made.follow(mark)
          write(content.slice(half))
          if (looks === 2) made.follow(mark)
          write(mark)
          if (looks === 3) made.follow(mark)
          return made.end(mark)
        })
        const all = jobs.some(([content]) => content !== '') ? Buffer.from(text()) : Buffer.alloc(0)
        ranges.forEach((range, seq) => {
          const content = range === null ? '' : all.subarray(range.offset, range.offset + range.bytes).toString()
          expect(content).toBe(Buffer.from(jobs[seq]![0]).toString())
        })
        made.close()
      }),
      { numRuns: 60 },
    )
  })

  it('keeps head and tail, and the spool small, while a job floods it', () => {
    const { made, text, write } = spool()
    const mark = '\x1e@n 0\n'
    write('first')
    for (let i = 0; i < 60; i++) {
      write('x'.repeat(1 << 20))
      made.follow(mark)
    }
    expect(readFileSync(join(scratch, 'spool')).length).toBeLessThan(40 << 20)
    write(`last${mark}`)
    const range = made.end(mark)!
    expect(range.total).toBe((60 << 20) + 9)
    const content = text().slice(range.offset, range.offset + range.bytes)
    expect(content.length).toBeLessThan(HEAD_BYTES + TAIL_BYTES + 60)
    expect(content.startsWith('firstxxx') && content.endsWith('xxxlast')).toBe(true)
    expect(content).toContain(`\n[floe: ${(60 << 20) + 9 - HEAD_BYTES - TAIL_BYTES} bytes left out]\n`)
    expect(made.lastText.endsWith('last')).toBe(true)
  })

  it('finds its way in a spool that a job cut', () => {
    const { made, text, write } = spool()
    write('a\x1e@n 0\n')
    made.end('\x1e@n 0\n')
    write('lost')
    truncateSync(join(scratch, 'spool'))
    write('b\x1e@n 1\n')
    const cut = made.end('\x1e@n 1\n')!
    write('c\x1e@n 2\n')
    const next = made.end('\x1e@n 2\n')!
    expect(text().slice(cut.offset, cut.offset + cut.bytes)).toBe('b')
    expect(text().slice(next.offset, next.offset + next.bytes)).toBe('c')
  })
})

describe('outputs', () => {
  it('expands globs as a shell does', () => {
    for (const path of ['a.csv', 'b.csv', 'c.nc', '.hidden.csv', 'd/e.csv', 'd/f/g.csv', '[x].csv', 'é🧊.csv']) {
      mkdirSync(join(scratch, path, '..'), { recursive: true })
      writeFileSync(join(scratch, path), '')
    }
    symlinkSync('..', join(scratch, 'd/up'))
    expect(expand(scratch, '*.csv')).toEqual(['[x].csv', 'a.csv', 'b.csv', 'é🧊.csv'])
    expect(expand(scratch, '?.csv')).toEqual(['a.csv', 'b.csv'])
    expect(expand(scratch, '[!a].csv')).toEqual(['b.csv'])
    expect(expand(scratch, '[[]x].csv')).toEqual(['[x].csv'])
    expect(expand(scratch, '**/*.csv')).toEqual(['[x].csv', 'a.csv', 'b.csv', 'd/e.csv', 'd/f/g.csv', 'é🧊.csv'])
    expect(expand(scratch, 'd/*/g.csv')).toEqual(['d/f/g.csv'])
    expect(expand(scratch, '.*.csv')).toEqual(['.hidden.csv'])
    expect(expand(scratch, 'd/f*/')).toEqual(['d/f/'])
    expect(expand(scratch, 'none*')).toEqual([])
  })

  it('takes a name without patterns for itself', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), fc.string({ unit: 'grapheme' }), (name, other) => {
        fc.pre(!/[*?[/]/.test(name))
        expect(globName(name).test(name)).toBe(true)
        if (other !== name) expect(globName(name).test(other)).toBe(false)
      }),
    )
  })

  it('makes the parents that are sure', () => {
    expect(['a/b/c.csv', 'a/*/c.csv', '*.csv', 'd/', 'a/d/'].map(fixedParent)).toEqual([
      'a/b/c.csv',
      'a/*',
      '*',
      'd',
      'a/d',
    ])
  })
})

describe('verdict', () => {
  const report = (exit: number | null, check: number | null = null) => ({ seq: 0, exit, check, said: '' })
  const evidence = { said: '', killed: undefined, launchProblem: () => undefined, kernelKilled: () => false }

  it('follows the evidence in its order', () => {
    expect(judge({ ...evidence, report: report(0) })).toBeUndefined()
    expect(judge({ ...evidence, report: report(0, 0) })).toBeUndefined()
    expect(judge({ ...evidence, report: report(0, 2) })).toMatchObject({ class: 'check', exit: 0 })
    expect(judge({ ...evidence, report: report(3) })).toMatchObject({ class: 'app', rule: 'exit 3' })
    expect(judge({ ...evidence, report: report(127), launchProblem: () => 'why' })).toMatchObject({
      class: 'launch',
      rule: 'why',
    })
    expect(judge({ ...evidence, report: report(137), said: 'Killed\n', kernelKilled: () => true })).toMatchObject({
      class: 'memory',
      signal: 'KILL',
    })
    const killed = { class: 'walltime' as const, rule: 'long' }
    expect(judge({ ...evidence, report: report(0), killed })).toMatchObject({ verdict: 'failed', class: 'walltime' })
    expect(judge({ ...evidence, report: report(null), killed: { class: 'cancelled', rule: 'x' } })).toMatchObject({
      verdict: 'cancelled',
    })
  })

  it('reads a signal from the last line of stderr', () => {
    expect(signalOf(139, 'text\nSegmentation fault (core dumped)\n')).toBe('SEGV')
    expect(signalOf(139, 'sh: line 5: 123 Segmentation fault   prog\n')).toBe('SEGV')
    expect(signalOf(139, 'Segmentation fault\nthen more\n')).toBeNull()
    expect(signalOf(141, '')).toBe('PIPE')
    expect(signalOf(255, 'Killed\n')).toBeNull()
    expect(signalOf(null, 'Killed\n')).toBeNull()
  })
})

describe('manifest', () => {
  it('gives each task its own lines, however long they are', () => {
    const long = 'x'.repeat(1_500_000)
    const tasks = [0, 1, 2].map((task) =>
      [`a${task}`, `é${task}${long}`, `b${task}`].map((job) => fakeJob(job, { program: 'p' })),
    )
    const array = fakeArray(scratch, tasks)
    for (const task of [2, 0, 1]) {
      const { header, jobs } = readTask(array, task)
      expect(header).toMatchObject({ task, jobs: 3 })
      const read: string[] = []
      for (let next = jobs.next(); !next.done; next = jobs.next()) read.push(next.value.job)
      expect(read).toEqual(tasks[task]!.map(({ job }) => job))
    }
    expect(() => readTask(array, 3)).toThrow('no task 3')
    truncateSync(join(array, 'manifest'), 100)
    expect(() => readTask(array, 0)).toThrow('shorter than its index')
  })
})

describe('cancel files', () => {
  it('tells what is new only, and names with any sign', () => {
    const files = new CancelFiles(scratch, 3)
    expect(files.look()).toBeUndefined()
    writeFileSync(join(scratch, 'cancel.3'), `${JSON.stringify('a\n"b"')}\nplain\n`)
    expect(files.look()).toEqual(new Set(['a\n"b"', 'plain']))
    expect(files.look()).toBeUndefined()
    appendFileSync(join(scratch, 'cancel.3'), '"c"\n')
    expect(files.look()).toEqual(new Set(['a\n"b"', 'plain', 'c']))
    writeFileSync(join(scratch, 'cancel'), '')
    expect(files.look()).toBe('all')
  })
})

describe('job text', () => {
  it('has nothing of a job outside of quotes', () => {
    const hostile = fc.string({
      unit: fc.constantFrom("'", '"', '$', '`', '\n', ';', '|', ' ', 'a', '(', ')', '&', '<'),
    })
    fc.assert(
      fc.property(hostile, hostile, hostile, (a, b, c) => {
        const job = fakeJob('j', {
          program: '/p',
          arguments: [a],
          environment: { A: b, 'odd name': c },
          stdin: c,
          stdout: b,
          check: a,
        })
        const text = jobText(job, '@n', {
          seq: 1,
          directory: `/d${c}`,
          program: `/p${b}`,
          variables: [['FLOE_JOB', a]],
        })
        const bare = text.replaceAll("'\\''", '').replace(/'[^']*'/g, '')
        const plain = jobText(
          fakeJob('j', {
            program: '/p',
            arguments: [''],
            environment: { A: '', 'odd name': '' },
            stdin: '',
            stdout: '',
            check: '',
          }),
          '@n',
          { seq: 1, directory: '/d', program: '/p', variables: [['FLOE_JOB', '']] },
        )
        expect(bare).toBe(plain.replace(/'[^']*'/g, ''))
      }),
    )
  })

  it('says what no program can be told', () => {
    const job = (fields: object) => fakeJob('j', { program: '/p', ...fields })
    expect(unspeakable(job({ arguments: ['a'] }))).toBeUndefined()
    expect(unspeakable(job({ arguments: ['a\0'] }))).toContain('NUL')
    expect(unspeakable(job({ environment: { 'a=b': 'c' } }))).toContain('a=b')
    expect(unspeakable(job({ arguments: ['é'.repeat(70_000)] }))).toContain('128 KiB')
  })
})
