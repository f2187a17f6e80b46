import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

/*
 * Runs what README.md shows, in a copy of the project, block after block, as one person would type it: the directory and exported
 * variables carry on.
 *   ```sh        a script; each command must succeed
 *   ```console   `$ command`, then what it prints. Each line shown must be printed, numbers and runs of blanks aside; `…` stands for
 *                any lines. A command must succeed unless the next one is `$ echo $?`, which shows its exit status.
 *   ```sh no-run not run: it needs what a test cannot have (the network, a program, the test itself)
 */

const root = join(import.meta.dirname, '..')
/** Blocks that are not run, at most. */
const NOT_RUN_MAX = 3

interface Block {
  readonly line: number
  readonly kind: 'sh' | 'console'
  readonly runs: boolean
  readonly text: string
}

const blocks = readBlocks(readFileSync(join(root, 'README.md'), 'utf8'))
const state = mkdtempSync(join(tmpdir(), 'floe-readme-'))
const copy = join(state, 'floe')

beforeAll(() => {
  const installed = join(root, 'node_modules')
  // `npm ci` in the copy would empty the node_modules that it shares with this clone.
  const [packages, lock] = [join(installed, '.package-lock.json'), join(root, 'package-lock.json')].map(
    (path) => statSync(path).mtimeMs,
  )
  expect(packages, '`npm run setup` first: node_modules is older than package-lock.json').toBeGreaterThanOrEqual(lock!)
  const left = new Set(['node_modules', 'dist', 'demo', 'bench-out', '.git'])
  cpSync(root, copy, { recursive: true, preserveTimestamps: true, filter: (path) => !left.has(relative(root, path)) })
  symlinkSync(installed, join(copy, 'node_modules'))
  mkdirSync(join(state, 'tmp'))
  writeFileSync(join(state, 'cwd'), copy)
})
afterAll(() => rmSync(state, { recursive: true, force: true }))

describe('README.md', () => {
  test('has blocks, and few that are not run', () => {
    expect(blocks.filter(({ runs }) => runs).length).toBeGreaterThan(5)
    expect(blocks.filter(({ runs }) => !runs).length).toBeLessThanOrEqual(NOT_RUN_MAX)
  })

  for (const block of blocks.filter(({ runs }) => runs)) {
    test(`line ${block.line}: ${block.text.split('\n')[0]}`, { timeout: 180_000 }, () => {
      const steps = block.kind === 'sh' ? [{ command: block.text, shown: [], exit: 0 }] : readSteps(block.text)
      for (const step of steps) follow(step)
    })
  }

  test('links to files that are there', () => {
    const links = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/\]\(([^)#:]+)[^):]*\)/g)].map(
      ([, path]) => path!,
    )
    expect(links.length).toBeGreaterThan(3)
    expect(links.filter((path) => !existsSync(join(root, path)))).toEqual([])
  })
})

interface Step {
  readonly command: string
  readonly shown: readonly string[]
  readonly exit: number
}

function follow({ command, shown, exit }: Step): void {
  const ended = shell(command)
  const said = `$ ${command}\n${ended.stdout}${ended.stderr}`
  expect(ended.exit, said).toBe(exit)
  const printed = plain(`${ended.stdout}\n${ended.stderr}`).split('\n')
  for (const line of shown) expect(printed, said).toContain(plain(line))
}

/** Numbers depend on the machine, and with them the widths of columns. */
const plain = (text: string): string =>
  text
    .replaceAll(/\d[\d,.:–-]*/g, '#')
    .replaceAll(/[^\S\n]+/g, ' ')
    .replaceAll(/ $/gm, '')

function shell(script: string): { exit: number | null; stdout: string; stderr: string } {
  writeFileSync(join(state, 'block.sh'), script)
  const around = `
    [ -e "$STATE/env" ] && . "$STATE/env"
    cd "$(cat "$STATE/cwd")" || exit 99
    trap 'export -p > "$STATE/env"; pwd > "$STATE/cwd"' EXIT
    set -eu
    . "$STATE/block.sh"`
  const env = { ...process.env, STATE: state, TMPDIR: join(state, 'tmp'), NO_COLOR: '1', CI: 'true' }
  const { status, stdout, stderr } = spawnSync('bash', ['-c', around], {
    env,
    encoding: 'utf8',
    input: '',
    timeout: 150_000,
  })
  return { exit: status, stdout, stderr }
}

function readBlocks(text: string): Block[] {
  const found: Block[] = []
  const lines = text.split('\n')
  for (let at = 0; at < lines.length; at++) {
    const [, fence, kind, rest] = /^(```+)(\w*)\s*(.*)$/.exec(lines[at]!) ?? []
    if (fence === undefined) continue
    const end = lines.indexOf(fence, at + 1)
    if (kind === 'sh' || kind === 'console') {
      found.push({ line: at + 1, kind, runs: rest !== 'no-run', text: lines.slice(at + 1, end).join('\n') })
    }
    at = end
  }
  return found
}

function readSteps(text: string): Step[] {
  const given: { command: string; shown: string[] }[] = []
  for (const line of text.split('\n')) {
    if (line.startsWith('$ ')) given.push({ command: line.slice(2), shown: [] })
    else if (line.startsWith('> ')) given.at(-1)!.command += `\n${line.slice(2)}`
    else if (line.trim() !== '' && line.trim() !== '…') given.at(-1)!.shown.push(line)
  }
  const asksExit = (at: number) => given[at]?.command === 'echo $?'
  return given.flatMap((step, at) =>
    asksExit(at) ? [] : [{ ...step, exit: asksExit(at + 1) ? Number(given[at + 1]!.shown[0]) : 0 }],
  )
}
