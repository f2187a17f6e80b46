import { rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { type Login, type LoginWish, makeKey, openLogin } from '../../fakes/ssh-server.ts'
import { began, onceEach, open, openScene, type Scene, until, withWaits } from './scene.ts'

/* Login nodes as they are, and what a person reads when floe does not come in. */

async function behind(wish: LoginWish = {}, jobs = 2): Promise<{ scene: Scene; login: Login }> {
  const login = await openLogin(wish)
  const scene = await openScene('slurm')
  const { target, port, knownHosts, identity } = login
  scene.settle({ ssh: { to: target, port, known_hosts: knownHosts, identity, agent: 'none' } })
  withWaits(scene.place, { jobs, waits: false })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  return { scene, login }
}

/** What `run` says, without what differs each time. */
async function refusal({ scene, login }: { scene: Scene; login: Login }) {
  const { status, stderr } = await scene.run(['run', '--site', 'frost'])
  const text = scene.place
    .masked(stderr)
    .replaceAll(String(login.port), 'PORT')
    .replaceAll(/SHA256:[\w+/]{43}/g, 'FINGERPRINT')
    .replaceAll(dirname(login.identity), 'SSH')
  expect(scene.fake.calls).toHaveLength(0)
  expect(await scene.json('status')).toMatchObject({ pending: 2 })
  return { status, text }
}

test('a host key that is not known is refused, with what to do', async () => {
  const at = await behind()
  writeFileSync(at.login.knownHosts, '')
  expect(await refusal(at)).toMatchInlineSnapshot(`
    {
      "status": 2,
      "text": "floe: Could not read the limits at alice@127.0.0.1: the host key of [127.0.0.1]:PORT is not known here: it shows ssh-ed25519 FINGERPRINT
      do        Compare it with what the site publishes; then run \`ssh alice@127.0.0.1\` once and accept it.
    ",
    }
  `)
  expect(at.login.server.seen.logins).toBe(0)
})

test('a host key that has changed is refused, with the line that knows another', async () => {
  const at = await behind()
  writeFileSync(at.login.knownHosts, `[127.0.0.1]:${at.login.port} ${makeKey().public}\n`)
  expect(await refusal(at)).toMatchInlineSnapshot(`
    {
      "status": 2,
      "text": "floe: Could not read the limits at alice@127.0.0.1: the host key of [127.0.0.1]:PORT has changed: it shows ssh-ed25519 FINGERPRINT, but SSH/known_hosts:1 has FINGERPRINT; nothing was sent to it
      do        The site has new keys, or somebody is in between: ask the people who run it. If they confirm the new one: \`ssh-keygen -R '[127.0.0.1]:PORT' -f SSH/known_hosts\`, then \`ssh alice@127.0.0.1\` once.
    ",
    }
  `)
  expect(at.login.server.seen.logins).toBe(0)
})

test('a key that the host does not take is named', async () => {
  const at = await behind()
  writeFileSync(at.login.identity, makeKey().private, { mode: 0o600 })
  expect(await refusal(at)).toMatchInlineSnapshot(`
    {
      "status": 2,
      "text": "floe: Could not read the limits at alice@127.0.0.1: alice@127.0.0.1 did not let us in (it takes: publickey): the key SSH/key was not taken
      do        Try \`ssh alice@127.0.0.1\`: when that works without a question, so does this.
    ",
    }
  `)
})

test('a key file that is not there is named', async () => {
  const at = await behind()
  rmSync(at.login.identity)
  expect(await refusal(at)).toMatchInlineSnapshot(`
    {
      "status": 2,
      "text": "floe: Could not read the limits at alice@127.0.0.1: there is no key file SSH/key, which the site names as its identity
      do        Correct \`identity\` of the site, or leave it out: then the agent and ~/.ssh/config are asked.
    ",
    }
  `)
})

test('a host that nobody reaches is said, and exit 12', async () => {
  const at = await behind()
  await at.login.server.close()
  expect(await refusal(at)).toMatchInlineSnapshot(`
    {
      "status": 12,
      "text": "floe: Could not read the limits at alice@127.0.0.1: 127.0.0.1:PORT cannot be reached: nothing listens there
      do        Check the name and the network (a VPN?), and whether \`ssh alice@127.0.0.1\` works.
    ",
    }
  `)
})

test('csh as login shell, and a banner before each answer, change nothing', async () => {
  const { scene } = await behind({ isForeignShell: true, banner: 'Welcome to frost! 1001\n' })
  const { stderr } = await scene.run(['run', '--site', 'frost'])
  expect(stderr).toBe('')
  expect(await scene.json('status')).toMatchObject({ succeeded: 2 })
  expect(began(scene.place)).toEqual(onceEach(2))
})

test('a login node that kills what takes long is said, and what was under way is not lost', async () => {
  const { scene, login } = await behind({ killsAfterMs: 1000 })
  const { fake, place } = scene
  fake.noise.slowMs = 2500
  const { status, stderr } = await scene.run(['run', '--site', 'frost'])
  expect({ status, stderr }).toEqual({
    status: 12,
    stderr: `floe: Could not read the limits at alice@127.0.0.1: a shell on alice@127.0.0.1 was ended by SIGKILL before its answer was whole
  do        Some sites end long processes on login nodes. Whether its commands had run is not known: look before they are sent again.
`,
  })
  const limit = (killsAfterMs?: number) => {
    login.server.options = { ...login.server.options, killsAfterMs }
  }
  limit()
  fake.noise.slowMs = 0
  place.program(
    'wait.sh',
    `echo "$FLOE_JOB" >>'${place.path('ran')}'\nwhile ! [ -e '${place.path('go')}' ]; do sleep 0.05; done\necho 1 >"$FLOE_OUTPUT_1"`,
  )
  await scene.run(['add', place.path('jobs.ndjson')])
  const run = scene.start(['run', '--site', 'frost', '--rerun'])
  await until('all began', () => Object.keys(began(place)).length === 2)
  // From now on no answer comes home, though the tasks do.
  limit(1000)
  fake.noise.slowMs = 2500
  const before = fake.calls.length
  await until('it asked in vain', () => fake.calls.length > before + 1)
  open(place)
  limit()
  fake.noise.slowMs = 0
  expect((await run.end).stderr).not.toContain('floe:')
  expect(await scene.json('status')).toMatchObject({ succeeded: 2 })
  expect(began(place)).toEqual(onceEach(2))
  expect(fake.jobs).toHaveLength(1)
})
