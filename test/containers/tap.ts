import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'

/** A way to a machine on which something can befall it in the middle of what goes by. */
export interface Tap {
  /** `127.0.0.1:port` */
  readonly address: string
  close(): void
}

/**
 * Passes connections on to a port of this machine. Once so many bytes have gone by, `act` happens, once and with all that goes by held back until
 * it has.
 */
export async function openTap(port: number, { after, act }: { after: number; act: () => Promise<void> }): Promise<Tap> {
  const sockets = new Set<Socket>()
  let left = after
  let acted: Promise<void> | undefined
  const pass = (from: Socket, to: Socket) => {
    from.on('data', (bytes) => {
      left -= bytes.length
      if (left <= 0) acted ??= act()
      from.pause()
      Promise.resolve(acted).then(() => to.write(bytes, () => from.resume()))
    })
    from.on('end', () => to.end())
    from.on('close', () => to.destroy())
    from.on('error', () => to.destroy())
    sockets.add(from)
  }
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    pass(near, far)
    pass(far, near)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
