import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { expect, it } from 'vitest'
import { type Report, SlotShell } from '../../../jobs/runner/shell.ts'

it('hears all that was reported before it is asked, also when it is told to rest meanwhile', async () => {
  const none = openSync('/dev/null', 'r+')
  const heard: Report[] = []
  const shell = new SlotShell({
    ...{ setup: null, streams: [none, none, none], environment: process.env },
    onReports: (reports) => heard.push(...reports),
    onGone: () => {},
  })
  await shell.ready
  shell.tell(`printf '%s\\n' '${shell.nonce} 7 0 -'\n`)
  await new Promise((resolve) => setImmediate(resolve))
  // It lies in the pipe when Node comes to look.
  execFileSync('sleep', ['0.2'])
  const before = await new Promise<readonly number[]>((resolve) => {
    shell.hear(() => resolve(heard.map(({ seq }) => seq)))
    shell.rest(1000)
  })
  expect(before).toEqual([7])
  await shell.end(1000)
  closeSync(none)
})
