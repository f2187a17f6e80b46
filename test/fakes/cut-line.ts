import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** A port in front of another, whose connections a test can cut, as a network does. */
export interface CutLine {
  readonly port: number
  /** Resets all connections that there are. */
  cut(): void
  /** While true nothing passes, and nobody is told. */
  isFrozen: boolean
  /** Connections that came so far. */
  readonly count: number
  close(): Promise<void>
}

export async function cutLine(host: string, port: number): Promise<CutLine> {
  const open = new Set<Socket>()
  let isFrozen = false
  let count = 0
  const server = createServer((near) => {
    count++
    const far = connect(port, host)
    near.setNoDelay(true)
    far.setNoDelay(true)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from)
      from.on('data', (chunk) => {
        if (isFrozen) from.pause()
        if (!to.write(chunk)) from.pause()
      })
      to.on('drain', () => {
        if (!isFrozen) from.resume()
      })
      from.on('error', () => undefined)
      from.on('end', () => to.end())
      from.on('close', () => {
        open.delete(from)
        to.destroy()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as { port: number }).port,
    cut: () => {
      for (const socket of open) socket.resetAndDestroy()
    },
    get isFrozen() {
      return isFrozen
    },
    set isFrozen(value) {
      isFrozen = value
      if (!value) for (const socket of open) socket.resume()
    },
    get count() {
      return count
    },
    close: async () => {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
