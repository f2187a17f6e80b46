import { quote } from '../../connectors/quote.ts'
import { type SshOptions, sshTransport } from '../../connectors/transport/ssh.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import type { Disk } from '../fakes/disk.ts'
import type { SshEntry } from './site.ts'

/** What people write into sites.yaml to get in. */
export const sshOptions = ({ host, port, user, identityFile, knownHostsFile }: SshEntry): SshOptions => ({
  ...{ target: `${user}@${host}`, port, identity: identityFile, knownHosts: knownHostsFile, agent: 'none' },
})

export const wayTo = (entry: SshEntry, more: Partial<SshOptions> = {}): Transport =>
  sshTransport({ ...sshOptions(entry), ...more })

/** The scratch that the machines of a site share, by way of its login machine. */
export function diskBy(transport: () => Transport): Disk {
  const ask = async (script: string): Promise<string> => {
    const { exit, stdout, stderr } = await transport().run(script)
    if (exit !== 0) throw new Error(`exit ${exit}: ${script.slice(0, 200)}\n${stderr}`)
    return stdout
  }
  return {
    make: async (prefix) => (await ask(`mktemp -d ${quote(`/scratch/alice/${prefix}XXXXXX`)}`)).trimEnd(),
    async write(path, text) {
      const folder = path.slice(0, path.lastIndexOf('/'))
      await ask(`mkdir -p ${quote(folder)} && printf %s ${quote(text)} >${quote(path)}`)
    },
    async text(path) {
      const { exit, stdout } = await transport().run(`[ -e ${quote(path)} ] || exit 9; cat ${quote(path)}`)
      return exit === 9 ? undefined : stdout
    },
    names: async (directory) => (await ask(`ls -A ${quote(directory)}`)).split('\n').filter(Boolean),
    remove: async (directory) => void (await ask(`rm -rf ${quote(directory)}`)),
  }
}
