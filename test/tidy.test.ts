import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'
import about from '../package.json' with { type: 'json' }
import { CODES } from '../src/model/errors.ts'

/* Proves of the source what no compiler does: who imports whom, sizes, names, links, lists that must agree. */

const root = join(import.meta.dirname, '..')
const NOT_OURS = new Set(['node_modules', 'dist', '.git', '.floe', 'demo', 'bench-out', '__pycache__', '__snapshots__'])

function walk(directory: string): string[] {
  return readdirSync(join(root, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : walk(path)
    return entry.isFile() ? [path] : []
  })
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const all = walk('.')
const code = all.filter((path) => /\.(ts|mjs)$/.test(path))
const source = code.filter((path) => /^(src|connectors|jobs)\//.test(path))
const texts = all.filter(
  (path) =>
    /(\.(ts|mjs|json|md|yaml|yml|sh|py|toml|conf|cnf)|\/Dockerfile|\.ci\/run)$/.test(path) &&
    !path.startsWith('data/') &&
    path !== 'package-lock.json',
)

/** What each part may import, besides itself and packages. A door is the file with the room's name. */
const ROOMS = ['catalog', 'map', 'stage', 'dispatch', 'events', 'results']
const PORTS = ['src/ports/bus/bus.ts', 'src/ports/clock.ts', 'src/ports/files/files.ts', 'src/ports/tables/tables.ts']
const doors = (rooms: readonly string[]): string[] => rooms.map((room) => `src/${room}/${room}.ts`)
const MAY: Readonly<Record<string, readonly string[]>> = {
  'src/model': [],
  'src/ports': ['src/model/'],
  'src/config': ['src/model/'],
  ...Object.fromEntries(ROOMS.map((room) => [`src/${room}`, ['src/model/', ...PORTS]])),
  'src/dispatch': [
    'src/model/',
    ...PORTS,
    'connectors/connector.ts',
    'connectors/quote.ts',
    'connectors/simulated/simulated.ts',
    'connectors/transport/transport.ts',
  ],
  'src/doctor': [
    'src/model/',
    ...PORTS,
    ...doors(['config', 'dispatch']),
    'connectors/connector.ts',
    'connectors/quote.ts',
    'connectors/transport/transport.ts',
  ],
  'src/run': ['src/model/', ...PORTS, ...doors([...ROOMS, 'config'])],
  'src/campaign': ['src/model/', ...PORTS, ...doors([...ROOMS, 'config', 'run'])],
  'src/cli': ['src/model/', 'src/floe.ts', 'package.json'],
  connectors: [],
  // It speaks to HDFS as the coordinator does.
  'jobs/runner': ['src/model/', 'src/ports/files/'],
}
/** Mains choose implementations: they may import every door. */
const MAINS: Readonly<Record<string, readonly string[]>> = {
  'src/floe.ts': [
    'src/model/',
    'src/ports/',
    'src/simulation.ts',
    'src/sites.ts',
    'src/status-events.ts',
    'src/stores.ts',
    ...doors([...ROOMS, 'config', 'run', 'campaign', 'doctor']),
  ],
  'src/simulation.ts': ['src/model/', 'connectors/', ...doors(['stage', 'dispatch', 'config', 'campaign', 'doctor'])],
  'src/stores.ts': ['src/model/', 'src/ports/', ...doors(['config', 'campaign'])],
  'src/status-events.ts': ['src/model/', 'src/ports/', ...doors(['config', 'campaign', 'events'])],
  'src/sites.ts': [
    'src/model/',
    'src/ports/clock.ts',
    'connectors/',
    ...doors(['stage', 'dispatch', 'config', 'campaign', 'doctor']),
  ],
}

interface Import {
  readonly from: string
  readonly to: string
  readonly isPackage: boolean
}

function importsOf(path: string): Import[] {
  const found = read(path).matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?\bfrom\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|(?:^|\n)import\s+'([^']+)'/g,
  )
  return [...found].map(([, from, later, bare]) => {
    const name = (from ?? later ?? bare)!
    const isPackage = !name.startsWith('.')
    return { from: path, to: isPackage ? name : normalize(join(dirname(path), name)), isPackage }
  })
}

const partOf = (path: string): string | undefined => Object.keys(MAY).find((part) => path.startsWith(`${part}/`))

function isAllowed({ from, to }: Import): boolean {
  const part = partOf(from)
  const may = MAINS[from] ?? (part === undefined ? undefined : MAY[part])
  if (may === undefined) return true
  if (part !== undefined && to.startsWith(`${part}/`)) return true
  return may.some((allowed) => (allowed.endsWith('/') ? to.startsWith(allowed) : to === allowed))
}

const told = ({ from, to }: Import): string => `${from} imports ${to}`
const imports = source.flatMap(importsOf)

describe('imports', () => {
  test('are found', () => {
    expect(imports.length).toBeGreaterThan(200)
    expect(imports).toContainEqual({ from: 'src/floe.ts', to: 'src/model/errors.ts', isPackage: false })
  })

  test('go one way, through doors', () => {
    expect(
      imports
        .filter(({ isPackage }) => !isPackage)
        .filter((one) => !isAllowed(one))
        .map(told),
    ).toEqual([])
  })

  test('a file in no part of the house would be noticed', () => {
    const homeless = source.filter((path) => path.endsWith('.ts') && partOf(path) === undefined && !(path in MAINS))
    expect(homeless).toEqual([])
  })

  test('of a wrong kind would be noticed', () => {
    const wrong = [
      ['src/map/map.ts', 'src/catalog/catalog.ts'],
      ['src/run/run.ts', 'src/catalog/views.ts'],
      ['src/model/errors.ts', 'src/ports/clock.ts'],
      ['connectors/local/local.ts', 'src/model/errors.ts'],
      ['jobs/runner/task.ts', 'src/stage/stage.ts'],
      ['src/cli/commands/run.ts', 'src/run/run.ts'],
      ['src/campaign/campaign.ts', 'src/ports/files/disk.ts'],
    ] as const
    for (const [from, to] of wrong) expect(isAllowed({ from, to, isPackage: false }), `${from} → ${to}`).toBe(false)
  })

  test('name packages that are dependencies', () => {
    const known = [...Object.keys(about.dependencies), about.name]
    const unknown = imports.filter(
      ({ to, isPackage }) =>
        isPackage && !to.startsWith('node:') && !known.some((name) => to === name || to.startsWith(`${name}/`)),
    )
    expect(unknown.map(told)).toEqual([])
  })

  test('of the runner and the connectors are Node alone: they run where nothing is installed', () => {
    // SSH is spoken where floe runs, never on a node.
    const isSsh = (path: string): boolean => /^connectors\/transport\/ssh(\.ts$|\/)/.test(path)
    const theirs = imports.filter(({ from }) => /^(jobs\/runner|connectors|src\/model)\//.test(from) && !isSsh(from))
    expect(theirs.filter(({ to, isPackage }) => isPackage && !to.startsWith('node:')).map(told)).toEqual([])
  })
})

describe('sizes', () => {
  const FILE_MAX = 400
  const FUNCTION_MAX = 75

  test(`files have at most ${FILE_MAX} lines`, () => {
    const long = source
      .map((path) => ({ path, lines: read(path).split('\n').length - 1 }))
      .filter(({ lines }) => lines > FILE_MAX)
    expect(long).toEqual([])
  })

  /** The formatter ends a function or method in a line of its own, indented as its first. */
  function functionsOf(path: string): { name: string; lines: number }[] {
    const found: { name: string; lines: number }[] = []
    const lines = read(path).split('\n')
    lines.forEach((line, start) => {
      const head =
        /^( *)(?:export )?(?:async )?function\*? (\w+)/.exec(line) ??
        /^( {2})(?:static )?(?:async )?\*?(#?\w+)\(.*(?:\{|\($)/.exec(line) ??
        /^( {2})(?:static )?(?:async )?\*?(#?\w+)\($/.exec(line)
      if (!head) return
      // The signature of an interface has no body.
      const close = lines.findIndex(
        (later, at) => at >= start && new RegExp(`^${head[1]}(\\)|\\S.*\\)).*$`).test(later),
      )
      if (!lines[close]?.endsWith('{')) return
      const end = lines.findIndex((later, at) => at > start && new RegExp(`^${head[1]}\\}`).test(later))
      if (end > start) found.push({ name: `${path} ${head[2]}`, lines: end - start + 1 })
    })
    return found
  }

  test(`functions have at most ${FUNCTION_MAX} lines`, () => {
    const functions = source.filter((path) => path.endsWith('.ts')).flatMap(functionsOf)
    expect(functions.length).toBeGreaterThan(300)
    expect(functions.filter(({ lines }) => lines > FUNCTION_MAX)).toEqual([])
  })
})

describe('names', () => {
  const BANNED = /^(subjob|item|worker|executor|manager|handler|helper|util|info)s?$/
  /** Names that a format of others has. */
  const THEIRS = new Set(['CommitInfo', 'AddressInfo'])
  const wordsOf = (name: string): string[] =>
    name
      .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
      .toLowerCase()
      .split(/[^a-z]+/)
  const isBanned = (name: string): boolean => wordsOf(name).some((word) => BANNED.test(word))

  test('of files have no banned word, and are kebab-case', () => {
    expect(code.filter((path) => path.split('/').some(isBanned))).toEqual([])
    expect(code.filter((path) => !/^[a-z0-9.-]+\.(ts|mjs)$/.test(basename(path)))).toEqual([])
  })

  test('of types, functions and constants have no banned word', () => {
    const named = code.flatMap((path) =>
      [...read(path).matchAll(/\b(?:function\*?|class|interface|type|const|let)\s+(\w+)/g)].map(([, name]) => ({
        path,
        name: name!,
      })),
    )
    expect(named.length).toBeGreaterThan(1000)
    expect(named.filter(({ name }) => isBanned(name) && !THEIRS.has(name))).toEqual([])
    expect(['jobItem', 'WorkerPool', 'format_utils', 'infoOf'].every(isBanned)).toBe(true)
    expect(['information', 'itemize', 'reworded'].some(isBanned)).toBe(false)
  })

  test('there are no barrels', () => {
    expect(code.filter((path) => /^index\.(ts|mjs)$/.test(basename(path)))).toEqual([])
  })
})

describe('texts', () => {
  const found = (pattern: RegExp, but: (path: string) => boolean = () => false): string[] =>
    texts
      .filter((path) => path !== 'test/tidy.test.ts' && !but(path))
      .flatMap((path) =>
        read(path)
          .split('\n')
          .flatMap((line, at) => (pattern.test(line) ? [`${path}:${at + 1}: ${line.trim()}`] : [])),
      )

  test('leave nothing for later', () => {
    expect(found(/\b(TODO|FIXME|XXX|HACK)\b/)).toEqual([])
    expect(found(/\b(test|it|describe)(\.\w+)*\.(skip|only|todo|fails)\b/)).toEqual([])
  })

  test('name no machine and no registry', () => {
    expect(found(/(^|[\s'"`(=:])\/(work|root|Users|home\/(?!alice|you|user)\w+)\//)).toEqual([])
    expect(found(/\bdeb\.debian\.org|archive\.ubuntu\.com|repo1?\.maven/i)).toEqual([])
    expect(found(/registry\.(npmjs|yarnpkg)|verdaccio|artifactory|jfrog|_authToken/i)).toEqual([])
    const lock = read('package-lock.json')
    const hosts = new Set([...lock.matchAll(/"resolved": "https?:\/\/([^/"]+)/g)].map(([, host]) => host))
    expect([...hosts].filter((host) => host !== 'registry.npmjs.org')).toEqual([])
  })

  test('link to what is there', () => {
    const broken = all
      .filter((path) => path.endsWith('.md') && !path.startsWith('data/'))
      .flatMap((path) =>
        [
          ...read(path)
            .replace(/^(`{3,})[\s\S]*?^\1/gm, '')
            .matchAll(/\]\(([^)\s]+)\)/g),
        ].map(([, link]) => ({ path, link: link! })),
      )
      .filter(({ link }) => !/^[a-z]+:/.test(link))
      .filter(({ path, link }) => !isThere(path, link))
    expect(broken).toEqual([])
  })

  function isThere(from: string, link: string): boolean {
    const [file, anchor] = link.split('#')
    const path = file ? join(dirname(from), decodeURIComponent(file)) : from
    if (!existsSync(join(root, path))) return false
    if (!anchor || statSync(join(root, path)).isDirectory()) return true
    const headings = [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, title]) => slug(title!))
    return headings.includes(anchor)
  }

  const slug = (title: string): string =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-')

  test('name files of the project that are there', () => {
    const missing = all
      .filter((path) => path.endsWith('.md') && !path.startsWith('docs/decisions'))
      .flatMap((path) =>
        [...read(path).matchAll(/`((?:src|docs|connectors|infra|jobs|test)\/[\w./-]+\.\w+)`/g)].map(([, name]) => ({
          path,
          name: name!,
        })),
      )
      .filter(({ name }) => !existsSync(join(root, name)))
    expect(missing).toEqual([])
  })
})

describe('docs/errors.md', () => {
  const rows = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \| (\d+) \| (\d+) \| (yes)? ?\| (.+) \|$/gm)]

  test('says what src/model/errors.ts says, both ways', () => {
    const documented = Object.fromEntries(
      rows.map(([, code, exit, http, again]) => [
        code,
        { exit: Number(exit), http: Number(http), retryable: again === 'yes' },
      ]),
    )
    const stated = Object.fromEntries(
      Object.entries(CODES).map(([name, { exit, http, retryable }]) => [name, { exit, http, retryable }]),
    )
    expect(documented).toEqual(stated)
  })

  test('hints end as sentences do', () => {
    expect(
      Object.values(CODES)
        .map(({ hint }) => hint)
        .filter((hint) => !/^[A-Z`].*\.$/.test(hint)),
    ).toEqual([])
  })
})

test('docs/glossary.md is in alphabetical order and says the banned words', () => {
  const text = read('docs/glossary.md')
  const words = [...text.matchAll(/^\| \*\*([^*]+)\*\*/gm)].map(([, word]) => word!)
  expect(words.length).toBeGreaterThan(40)
  expect(words).toEqual([...words].sort((a, b) => a.localeCompare(b, 'en')))
  for (const word of ['subjob', 'item', 'worker', 'executor', 'manager', 'handler', 'helper', 'util', 'info']) {
    expect(text.split('\n').at(-2)).toContain(word)
  }
})
