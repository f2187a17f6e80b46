import { createInterface } from 'node:readline'
import { openCommandConnector } from '../../connectors/command.ts'
import type { ArraySpec } from '../../connectors/connector.ts'
import { slurm } from '../../connectors/slurm/slurm.ts'
import { type SshOptions, sshTransport } from '../../connectors/transport/ssh.ts'

/* A process that submits one array over SSH, so that a test can kill it. Says `ready` once it is logged in, waits for a line, says the id. */

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const { ssh, array } = JSON.parse((await lines.next()).value as string) as { ssh: SshOptions; array: ArraySpec }
const transport = sshTransport(ssh)
await transport.run(':')
process.stdout.write('ready\n')
await lines.next()
const id = await openCommandConnector({ dialect: slurm(), transport }).submit(array)
process.stdout.write(`${id}\n`)
process.exit()
