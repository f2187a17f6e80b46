import { Readable } from 'node:stream'
import { exchange } from '../../src/ports/files/webhdfs-http.ts'
import type { HdfsSite } from './hdfs.ts'
import { until } from './machine.ts'

/** A write of which so much is sent; then it goes on, or is cut. */
export async function beginWrite(site: HdfsSite, path: string, sent: string, { idleMs = 20_000 } = {}) {
  const begun = await site.ask('PUT', path, 'op=CREATE&overwrite=true&noredirect=true')
  const url = new URL((JSON.parse(begun) as { Location: string }).Location)
  const input = new Readable({ read() {} })
  input.push(sent)
  const body = { length: 2 * sent.length, open: () => input }
  const done = exchange({ method: 'PUT', url, body, idleMs, hosts: site.hosts })
  done.catch(() => {})
  await until(() => site.client().isBeingWritten(path), { what: `${path} is being written` })
  return {
    finish() {
      for (const chunk of [sent, null]) input.push(chunk)
      return done
    },
    cut: () => input.destroy(new Error('cut')),
  }
}
