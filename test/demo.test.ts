import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

interface Month {
  readonly month: number
  readonly mean: number
  readonly least: number
  readonly most: number
}
interface Pictures {
  readonly drawTerminal: (season: readonly Month[]) => string
  readonly drawSvg: (season: readonly Month[], words: { title: string; subtitle: string }) => string
}

const root = join(import.meta.dirname, '..')
const pictures: Pictures = await import(join(root, 'jobs/examples/demo-picture.mjs'))

/** Computed from the source of the winds by another program; each by the area of the sectors, January to December, m/s. */
const SEASON = [4.47, 4.18, 3.62, 3.14, 2.67, 2.34, 2.29, 2.41, 2.89, 3.14, 3.87, 4.86]
const months = SEASON.map((mean, at): Month => ({ month: at + 1, mean, least: mean * 0.8, most: mean * 1.2 }))

describe('pictures of the season', () => {
  test('bars of the terminal are as high as their month, in lines that fit', () => {
    const lines = pictures.drawTerminal(months).split('\n')
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60)
    const bars = lines.filter((line) => line.includes('┤')).map((line) => line.slice(7))
    const height = (month: number) => bars.filter((line) => line[(month - 1) * 4] === '█').length
    expect(SEASON.map((_, at) => height(at + 1))).toEqual(SEASON.map((mean) => Math.floor(mean + 1 / 16)))
    expect(lines.at(-1)!.trim().split(/\s+/)).toEqual(SEASON.map((mean) => mean.toFixed(1)))
  })

  test('the SVG is well-formed, labelled, and made for light and dark', () => {
    const svg = pictures.drawSvg(months, { title: 'Wind & <waves>', subtitle: 'all of it' })
    expect(openTags(svg)).toEqual([])
    expect(svg).toContain('Wind &#38; &#60;waves&#62;')
    expect(svg).toContain('Mean wind speed, m/s')
    for (const month of ['Jan', 'Jun', 'Dec']) expect(svg).toContain(`>${month}</text>`)
    expect(svg).toContain('prefers-color-scheme: dark')
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
  })
})

describe('npm run demo', () => {
  let directory: string
  let first: Ended
  let again: Ended
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'floe-demo-'))
    first = await run(process.execPath, ['jobs/examples/demo.mjs', join(directory, 'winds')])
    again = await run(process.execPath, ['jobs/examples/demo.mjs', join(directory, 'winds')])
  }, 240_000)
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  test('runs all jobs and merges their results', () => {
    expect(first).toMatchObject({ exit: 0, stderr: '' })
    expect(first.stdout).toContain('1,056 jobs added')
    expect(first.stdout).toMatch(/1,056\/1,056 .* done in/)
    expect(first.stdout).toContain('1,056 rows in ')
  })

  test('finds the season that the source has', () => {
    const svg = readFileSync(join(directory, 'winds/season.svg'), 'utf8')
    const values = [...svg.matchAll(/class="value"[^>]*>([^<]*)</g)].map(([, text]) => Number(text))
    expect(values).toHaveLength(12)
    for (const [at, value] of values.entries()) expect(Math.abs(value - SEASON[at]!)).toBeLessThan(0.006)
    expect(first.stdout).toContain('Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec')
  })

  test('does nothing the second time, and says so', () => {
    expect(again.exit).toBe(0)
    expect(again.stdout).toMatch(/nothing to do: 1,056 of 1,056/i)
    expect(again.stdout).not.toContain('jobs/s')
    expect(existsSync(join(directory, 'winds/outputs/1987/03/barents.csv'))).toBe(true)
  })

  test('ends with three commands that work when pasted', async () => {
    const commands = first.stdout.split('\nNext:\n')[1]!.trim().split('\n')
    expect(commands).toHaveLength(3)
    for (const command of commands) {
      const ended = await run('/bin/sh', ['-c', command])
      expect(ended, command).toMatchObject({ exit: 0 })
      expect(ended.stdout, command).not.toBe('')
    }
  })
})

interface Ended {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

function run(program: string, words: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(program, words, { cwd: root, maxBuffer: 1e8 }, (error, stdout, stderr) =>
      resolve({ exit: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
    )
    child.stdin?.end()
  })
}

/** Tags that are opened and not closed, or closed and not opened. */
function openTags(xml: string): string[] {
  const open: string[] = []
  for (const [, closes, name, single] of xml.matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)) {
    if (single) continue
    if (!closes) open.push(name!)
    else if (open.pop() !== name) return [`</${name}>`]
  }
  return open
}
