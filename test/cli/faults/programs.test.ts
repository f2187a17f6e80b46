import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, isAlive, type JobLine, Scene } from './scene.ts'

/* One campaign of programs that do not behave, run once; each test looks at one of them. */

let scene: Scene
let run: Answer
let ends: Record<string, string>

/** The head of a program for a processor that Node does not run on. */
function foreignElf(): Buffer {
  const elf = Buffer.alloc(64)
  elf.write('\x7fELF\x02\x01\x01', 'latin1')
  elf.writeUInt16LE(2, 16)
  elf.writeUInt16LE(0x4d2, 18)
  return elf
}

const DESCENDANTS = 'echo $$ >>"$LEFT"; exec sleep 1000'

beforeAll(async () => {
  scene = await Scene.make({
    yaml: 'slots: 2\nstop_when_failed: 1\nsandboxes: 20\npolicy: {walltime: {tries: 1}, memory: {tries: 1}}\n',
  })
  const left = join(scene.root, 'left')
  mkdirSync(join(scene.root, 'secret'))
  writeFileSync(join(scene.root, 'secret', 'key'), 'secret')
  scene.write('in.txt', 'one\ntwo\n')
  const program = (name: string, body: string) => scene.program(`bin/${name}`, body)
  const lasting = program('lasting', DESCENDANTS)
  const jobs: JobLine[] = [
    {
      id: 'good',
      executable: program('good', 'tr a-z A-Z <in.txt >"$1"'),
      input: ['in.txt'],
      output: ['good.txt'],
      arguments: ['{output:1}'],
    },
    { id: 'silent', executable: program('silent', 'exit 0'), output: ['silent.csv'] },
    {
      id: 'fails',
      executable: program('fails', 'echo why not >&2; echo half >fails.csv; exit 3'),
      output: ['fails.csv'],
    },
    { id: 'signalled', executable: program('signalled', 'kill -SEGV $$'), output: ['signalled.csv'] },
    { id: 'flood', executable: program('flood', 'head -c 30000000 /dev/zero | tr "\\0" x; echo END') },
    {
      id: 'deaf',
      executable: program('deaf', 'trap "" TERM; while :; do sleep 0.2; done'),
      resources: { walltime: '1s' },
    },
    { id: 'slow', executable: program('slow', 'sleep 1000'), resources: { walltime: '1s' } },
    {
      id: 'greedy',
      executable: program('greedy', 'exec python3 -c "x = bytearray(400000000)\nimport time\ntime.sleep(1000)"'),
      resources: { memory: '100MB', walltime: '60s' },
    },
    {
      id: 'parent',
      executable: program(
        'parent',
        `${lasting} & ${lasting} >/dev/null 2>&1 & while [ "$(wc -l <"$LEFT")" -lt 2 ]; do sleep 0.05; done; echo done >"$1"`,
      ),
      environment: { LEFT: `${left}.group` },
      output: ['parent.txt'],
    },
    {
      id: 'daemon',
      executable: program(
        'daemon',
        `setsid ${lasting} </dev/null >/dev/null 2>&1 & while [ ! -s "$LEFT" ]; do sleep 0.05; done; echo done >"$1"`,
      ),
      environment: { LEFT: `${left}.setsid` },
      output: ['daemon.txt'],
    },
    {
      id: 'link-out',
      executable: program('link-out', `ln -s ${scene.root}/secret/key "$1"`),
      output: ['link-out.txt'],
    },
    {
      id: 'link-dir',
      executable: program('link-dir', `mkdir "$1"; ln -s ${scene.root}/secret "$1/inner"`),
      output: ['link-dir/'],
    },
    {
      id: 'link-parent',
      executable: program('link-parent', `rmdir below; ln -s ${scene.root}/secret below`),
      output: ['below/key'],
    },
    { id: 'fifo', executable: program('fifo', 'mkfifo "$1"'), output: ['fifo.csv'] },
    { id: 'through', executable: program('through', 'echo mine >"$1"'), output: ['door/key'] },
    { id: 'over', executable: program('over', 'echo mine >"$1"'), output: ['over.txt'] },
    {
      id: 'optional',
      executable: program('optional', 'echo one >"$1"'),
      output: ['optional-1.txt', { path: 'optional-2.txt', optional: true }],
    },
    {
      id: 'glob',
      executable: program(
        'glob',
        'mkdir -p parts/deep; echo a >parts/a.dat; echo b >parts/b.dat; echo c >parts/deep/c.dat; echo no >parts/x.tmp',
      ),
      output: ['parts/**/*.dat'],
      arguments: [],
    },
    { id: 'glob-none', executable: program('glob-none', ':'), output: ['none/*.dat'], arguments: [] },
    {
      id: 'tree',
      executable: program('tree', 'mkdir -p "$1"/a/b; echo 1 >"$1"/a/b/1; echo 2 >"$1"/2'),
      output: ['tree/'],
    },
    { id: 'tree-file', executable: program('tree-file', 'echo 1 >tree-file'), output: ['tree-file/'] },
    {
      id: 'streams',
      executable: 'tr',
      arguments: ['a-z', 'A-Z'],
      input: ['in.txt'],
      output: ['streams.txt'],
      stdin: 'in.txt',
      stdout: 'streams.txt',
    },
    {
      id: 'setup',
      executable: program('setup', 'echo "$FROM_SETUP $(mytool)" >"$1"'),
      output: ['setup.txt'],
      setup: `export FROM_SETUP=yes; mytool() { :; }; PATH="$PATH:${scene.path('tools')}"`,
    },
    {
      id: 'setup-bad',
      executable: program('setup-bad', 'echo never >"$1"'),
      output: ['setup-bad.txt'],
      setup: 'echo no module called cdo >&2; false',
    },
    {
      id: 'check-ok',
      executable: program('check-ok', 'echo fine >"$1"'),
      output: ['check-ok.txt'],
      check: 'grep -q fine "$FLOE_OUTPUT_1"',
    },
    {
      id: 'check-bad',
      executable: program('check-bad', 'echo wrong >"$1"'),
      output: ['check-bad.txt'],
      check: 'grep -q fine "$FLOE_OUTPUT_1"',
    },
    { id: 'foreign', executable: scene.write('bin/foreign', foreignElf()), output: ['foreign.csv'] },
  ]
  chmodSync(scene.path('bin', 'foreign'), 0o755)
  scene.program('tools/mytool', 'echo tool')
  const added = await scene.add(jobs)
  expect(added).toMatchObject({ exit: 0, stderr: '' })
  // After `add`, so that the catalog could not refuse them.
  symlinkSync(join(scene.root, 'secret'), scene.path('outputs', 'door'))
  symlinkSync(join(scene.root, 'secret', 'key'), scene.path('outputs', 'over.txt'))
  run = await scene.floe('run')
  ends = await scene.ends()
})
afterAll(() => scene?.end())

describe('programs that do not behave', () => {
  test('the run ends, counts what failed by class, and says where to look', () => {
    expect(run).toMatchObject({ exit: 3, stderr: expect.not.stringContaining('floe:') })
    expect(run.stdout).toMatch(/^27 jobs decided in /)
    expect(run.stdout).toMatch(/failed +16 .* app 10, launch 2, walltime 2, check 1, memory 1/)
    expect(run.stdout).toContain('floe jobs --state failed')
  })

  test.each([
    ['silent', 'app: output silent.csv is not there'],
    ['fails', 'app: exit 3'],
    ['signalled', 'app: signal SEGV'],
    ['deaf', 'walltime: ran longer than its 1 s'],
    ['slow', 'walltime: ran longer than its 1 s'],
    ['greedy', /^memory: used \d+\.\d MB of 100\.0 MB$/],
    ['foreign', /^launch: program .*foreign is made for another kind of processor/],
    ['fifo', 'app: output fifo.csv is neither a file nor a directory'],
    ['glob-none', 'app: no output matches none/*.dat'],
    ['tree-file', 'app: output tree-file/ is a file, not a directory'],
    ['check-bad', 'check: check ended with exit 1'],
    ['setup-bad', /^launch: .*setup ended with exit 1: no module called cdo$/],
    ['link-out', /^app: output link-out.txt leads outside the job's directory, to .*secret\/key$/],
    ['link-dir', /^app: output link-dir\/ holds a link that leads outside the job's directory: inner$/],
    ['link-parent', /^app: output below\/key leads outside the job's directory/],
    ['through', /^app: .*a symbolic link below the outputs leads out of the campaign, to .*secret$/],
  ])('%s: failed, with what happened', (job, said) => {
    expect(ends[job]).toMatch(said)
  })

  test('nothing of a failed job is published, and nothing is written through a link', () => {
    const failed = Object.keys(ends).filter((job) => ends[job] !== 'succeeded')
    const there = readdirSync(scene.path('outputs'))
    for (const job of failed) expect(there.filter((name) => name.startsWith(`${job}.`) || name === job)).toEqual([])
    expect(readdirSync(join(scene.root, 'secret'))).toEqual(['key'])
    expect(readFileSync(join(scene.root, 'secret', 'key'), 'utf8')).toBe('secret')
    expect(lstatSync(scene.path('outputs', 'over.txt')).isSymbolicLink()).toBe(false)
    expect(scene.read('outputs/over.txt')).toBe('mine\n')
  })

  test('the good ones are published whole: globs, directories, optional outputs, stdin and stdout, setup, check', () => {
    expect(scene.read('outputs/good.txt')).toBe('ONE\nTWO\n')
    expect(scene.read('outputs/streams.txt')).toBe('ONE\nTWO\n')
    expect(scene.read('outputs/setup.txt')).toBe('yes tool\n')
    expect(scene.read('outputs/check-ok.txt')).toBe('fine\n')
    expect([scene.has('outputs/optional-1.txt'), scene.has('outputs/optional-2.txt')]).toEqual([true, false])
    expect(['parts/a.dat', 'parts/b.dat', 'parts/deep/c.dat'].map((name) => scene.read(`outputs/${name}`))).toEqual([
      'a\n',
      'b\n',
      'c\n',
    ])
    expect(scene.has('outputs/parts/x.tmp')).toBe(false)
    expect([scene.read('outputs/tree/a/b/1'), scene.read('outputs/tree/2')]).toEqual(['1\n', '2\n'])
  })

  test('results name each output that was published, and no other', async () => {
    const rows = await scene.query<{ job_id: string; output: string }>(
      'select job_id, output from results order by output',
    )
    expect(rows.map(({ output }) => output)).toEqual([
      'check-ok.txt',
      'daemon.txt',
      'good.txt',
      'optional-1.txt',
      'over.txt',
      'parent.txt',
      'parts/a.dat',
      'parts/b.dat',
      'parts/deep/c.dat',
      'setup.txt',
      'streams.txt',
      'tree',
    ])
  })

  test('no process is left: not of a job that ignores TERM, nor in the group, nor in a session of its own', async () => {
    const pids = ['left.group', 'left.setsid'].flatMap((name) =>
      readFileSync(join(scene.root, name), 'utf8').trim().split('\n'),
    )
    expect(pids).toHaveLength(3)
    await scene.until('the processes end', () => !pids.some((pid) => isAlive(Number(pid))))
    await scene.until('runners and scheduler end', () => scene.processes().length === 0)
  })

  test('of a flood the head and the tail are kept, with a line between that says how much is not', async () => {
    const { stdout } = await scene.floe('logs', 'flood')
    expect(stdout.length).toBeGreaterThan(5e6)
    expect(stdout.length).toBeLessThan(12e6)
    expect(stdout).toMatch(/\n.*\d[\d,.]* (MB|bytes).*\n/)
    expect(stdout.endsWith('END\n')).toBe(true)
    const [row] = await scene.query<{ total: number }>(
      "select log_stdout.total as total from attempts where job_id = 'flood'",
    )
    expect(row!.total).toBe(30_000_004)
  })

  test('`show` names the rule, the kept directory and the log; the directory is there as the job left it', async () => {
    const { stdout, exit } = await scene.floe('show', 'fails')
    expect(exit).toBe(0)
    expect(stdout).toMatch(/^fails +failed, class app, after 1 try\n/)
    expect(stdout).toMatch(/record +exit 3 +← decided: failed, class app/)
    expect(stdout).toMatch(/logs +floe logs fails\n/)
    const kept = /sandbox +(.+)\n/.exec(stdout)?.[1]
    expect(kept, stdout).toBeDefined()
    expect(readFileSync(resolve(scene.root, kept!, 'fails.csv'), 'utf8')).toBe('half\n')
    expect((await scene.floe('logs', 'fails')).stderr).toBe('why not\n')
  })

  test('a second run does nothing', async () => {
    expect(await scene.floe('run')).toMatchObject({ exit: 3, stdout: expect.stringContaining('Nothing to do') })
    expect(await scene.query('select count(*) as n from attempts')).toEqual([{ n: 27 }])
  })
})
