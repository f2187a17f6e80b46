import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { openScene, type Scene } from './scene.ts'

/* Jobs in images. The program that runs them is a fake, which holds what it is told against what it should be and then does it. */

/** Shows a program what is bound, and no other place; `inside` is a program of the image. */
function withApptainer({ place }: Scene): string {
  place.program(
    'image/inside',
    `{ echo "inside $FLOE_JOB"; cat "$1"; } >"$FLOE_OUTPUT_1"; echo "said $FLOE_JOB $GREETING"`,
  )
  place.program(
    'bin/apptainer',
    `if [ "$1" = --version ]; then echo "apptainer version 1.3.1"; exit 0; fi
fatal() { echo "FATAL:   $*" >&2; exit 255; }
[ "$1" = exec ] || fatal "unknown command $1"; shift
bound=; nv=no; at=
while :; do
  case $1 in
    --bind) [ -e "\${2%%:*}" ] || fatal "mount source \${2%%:*} doesn't exist"; bound="$bound|$2"; shift 2 ;;
    --pwd) at=$2; shift 2 ;;
    --nv) nv=yes; shift ;;
    -*) fatal "unknown flag $1" ;;
    *) break ;;
  esac
done
image=$1; shift
[ "$(head -c 3 "$image")" = SIF ] || fatal "$image is no image"
shows() { case "$bound|" in *"|$1:$1:ro|"* | *"|$1:$1|"*) return 0 ;; esac; [ "$1" != / ] && shows "$(dirname "$1")"; }
writes() { case "$bound|" in *"|$1:$1|"*) return 0 ;; esac; [ "$1" != / ] && writes "$(dirname "$1")"; }
writes "$at" || fatal "$at cannot be written"
for link in "$at"/*; do
  [ -L "$link" ] && { shows "$(readlink -f "$link")" || fatal "$link leads out"; }
done
case $1 in /*) shows "$1" || fatal "$1 is not there" ;; esac
echo "$FLOE_JOB nv=$nv image=$image" >>'${place.path('ran')}'
cd "$at" && PATH='${place.path('image')}':/usr/bin:/bin exec "$@"`,
  )
  return place.path('bin/apptainer')
}

const ranIn = ({ place }: Scene): string[] => readFileSync(place.path('ran'), 'utf8').trimEnd().split('\n').sort()

async function scene(container?: string) {
  const made = await openScene('slurm', { slots: 2 })
  const apptainer = withApptainer(made)
  made.settle({ roots: { data: made.place.path('data') }, ...(container !== 'none' && { container: apptainer }) })
  made.place.file('tools.sif', 'SIF one')
  made.place.file('data/images/tools.sif', 'SIF two')
  made.place.file('data/in.txt', 'of a root\n')
  made.place.file('in.txt', 'carried\n')
  return made
}

describe('a job with a container', () => {
  test('runs in its image, which is carried or read in place, with inputs, outputs and GPUs', async () => {
    const made = await scene()
    const { place, run, json } = made
    place.program('own.sh', `cat "$FLOE_INPUT_1" >"$FLOE_OUTPUT_1"`)
    const job = (id: string, more: object) => ({ id, data: { output: [`o/${id}.txt`] }, ...more })
    place.jobs('jobs.ndjson', [
      job('plain', { executable: './own.sh', data: { input: ['in.txt'], output: ['o/plain.txt'] } }),
      job('inside', {
        ...{
          executable: 'inside',
          arguments: ['{input:1}'],
          container: './tools.sif',
          environment: { GREETING: "it's" },
        },
        data: { input: ['in.txt'], output: ['o/inside.txt'] },
      }),
      job('rooted', {
        ...{ executable: './own.sh', container: 'data:images/tools.sif', resources: { gpus: 1 } },
        data: { input: ['data:in.txt'], output: ['o/rooted.txt'] },
      }),
    ])
    expect((await run(['add', place.path('jobs.ndjson')])).stderr).toBe('')
    expect(await json('run', '--site', 'frost')).toMatchObject({ succeeded: 3, failed: 0 })
    const cache = place.path('scratch/floe/cache')
    const carried = readdirSync(cache).find((name) => /^SIF/.test(text(`${cache}/${name}`)))
    expect(ranIn(made)).toEqual([
      `inside nv=no image=${cache}/${carried}`,
      `rooted nv=yes image=${place.path('data/images/tools.sif')}`,
    ])
    await run(['fetch'])
    const output = (name: string) => text(place.path(`c/outputs/o/${name}.txt`))
    expect([output('plain'), output('inside'), output('rooted')]).toEqual([
      'carried\n',
      'inside inside\ncarried\n',
      'of a root\n',
    ])
    expect((await run(['logs', 'inside'])).stdout).toContain("said inside it's")
    expect((await run(['show', 'inside'])).stdout).toMatch(/container +.*tools\.sif/)
  })

  test('another image is another job; the same content is not', async () => {
    const made = await scene()
    const { place, run, json } = made
    place.jobs('jobs.ndjson', [
      {
        id: 'j',
        executable: 'inside',
        arguments: ['/dev/null'],
        container: './tools.sif',
        data: { output: ['o.txt'] },
      },
    ])
    await run(['add', place.path('jobs.ndjson')])
    expect(await json('run', '--site', 'frost')).toMatchObject({ succeeded: 1 })
    place.file('tools.sif', 'SIF other')
    const stale = await run(['run', '--site', 'frost'])
    expect(stale).toMatchObject({ status: 2, stderr: expect.stringContaining('tools.sif') })
    expect(await json('run', '--site', 'frost', '--rerun')).toMatchObject({ succeeded: 1 })
    expect(ranIn(made)).toHaveLength(2)
  })

  test('is refused before anything is submitted where a site has none', async () => {
    const made = await scene('none')
    const { place, run, fake } = made
    place.jobs('jobs.ndjson', [
      { id: 'j', executable: 'inside', container: './tools.sif', data: { output: ['o.txt'] } },
    ])
    await run(['add', place.path('jobs.ndjson')])
    const { status, stderr } = await run(['run', '--site', 'frost'])
    expect({ status, stderr: place.masked(stderr) }).toMatchInlineSnapshot(`
      {
        "status": 2,
        "stderr": "floe: The image DIR/tools.sif cannot be run: frost runs no images, as far as sites.yaml says. Job j needs it.
        do        Where frost has Apptainer or Singularity, say \`container: apptainer\` for it in sites.yaml, or put it on PATH by \`setup:\`; else choose another site, or take \`container\` out of the job.
      ",
      }
    `)
    made.settle({ container: '/no/such/apptainer' })
    expect(await run(['run', '--site', 'frost'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('/no/such/apptainer was not found at frost'),
    })
    expect(fake.jobs).toHaveLength(0)
    expect(existsSync(place.path('ran'))).toBe(false)
  })

  test('waits for an image that is not there, and names it', async () => {
    const made = await scene()
    const { place, run } = made
    place.jobs('jobs.ndjson', [{ id: 'j', executable: 'inside', container: './none.sif', data: { output: ['o.txt'] } }])
    await run(['add', place.path('jobs.ndjson')])
    expect((await run(['run', '--site', 'frost'])).status).toBe(3)
    expect((await run(['plan', '--site', 'frost'])).stdout).toContain('none.sif')
  })

  test('runs so under `try` too, and on this machine', async () => {
    const made = await scene()
    const { place, run, json } = made
    place.jobs('jobs.ndjson', [
      {
        id: 'j',
        executable: 'inside',
        arguments: ['{input:1}'],
        container: './tools.sif',
        data: { input: ['in.txt'], output: ['o.txt'] },
      },
    ])
    await run(['add', place.path('jobs.ndjson')])
    const path = `${place.path('bin')}:${process.env.PATH}`
    const tried = await run(['try', 'j'], { env: { PATH: path } })
    expect(tried).toMatchObject({ status: 0, stdout: expect.stringContaining('said j') })
    const there = await run(['run'], { env: { PATH: path } })
    expect(there.status).toBe(0)
    expect(await json('status')).toMatchObject({ succeeded: 1 })
    expect(ranIn(made)).toHaveLength(2)
    const without = await run(['try', 'j'])
    expect(without).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('apptainer was not found at this machine'),
    })
  })

  test('doctor looks for what runs images, on a node', async () => {
    const made = await scene()
    const doctor = async () => (await made.json<{ findings: object[] }>('doctor', 'frost')).findings
    expect(await doctor()).toContainEqual({
      ...{ level: 'ok', about: 'container', floe: null },
      found: expect.stringMatching(/^apptainer version 1\.3\.1 runs images on /),
    })
    made.settle({ container: 'singularity' })
    expect(await doctor()).toContainEqual(expect.objectContaining({ level: 'warn', about: 'container' }))
  })
})

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
