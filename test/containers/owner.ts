import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { getContainerRuntimeClient } from 'testcontainers'

/* Who made a container, network or volume is written on it, so that a run can remove what killed runs left, and nothing of live ones. */

const LABEL = 'floe.owner'

/** When a process of this machine started, in its kernel's ticks; pids are used again. Undefined: there is no such process. */
function startOf(pid: number): string | undefined {
  try {
    if (process.platform !== 'linux') return process.kill(pid, 0) ? 'unknown' : undefined
    // The name, in parentheses, may hold blanks.
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[19]
  } catch {
    return undefined
  }
}

export const labels: Readonly<Record<string, string>> = {
  [LABEL]: `${hostname()}/${process.pid}/${startOf(process.pid)}`,
}

function isLeft(owner: string | undefined): boolean {
  const [host, pid, start] = owner?.split('/') ?? []
  return host === hostname() && startOf(Number(pid)) !== start
}

/** Removes what runs of this machine left when they were killed. Answers how many containers, networks and volumes that were. */
export async function sweep(): Promise<number> {
  const docker = (await getContainerRuntimeClient()).container.dockerode
  const filters = { label: [LABEL] }
  const containers = (await docker.listContainers({ all: true, filters })).filter(({ Labels }) => isLeft(Labels[LABEL]))
  for (const { Id } of containers) await gone(docker.getContainer(Id).remove({ force: true, v: true }))
  const networks = (await docker.listNetworks({ filters })).filter(({ Labels }) => isLeft(Labels?.[LABEL]))
  for (const { Id } of networks) await gone(docker.getNetwork(Id).remove())
  const volumes = (await docker.listVolumes({ filters })).Volumes.filter(({ Labels }) => isLeft(Labels?.[LABEL]))
  for (const { Name } of volumes) await gone(docker.getVolume(Name).remove())
  return containers.length + networks.length + volumes.length
}

/** Another run may sweep at the same time: what it removes is gone (404) or going (409). */
async function gone(removal: Promise<unknown>): Promise<void> {
  await removal.catch((error: { statusCode?: number }) => {
    if (error.statusCode !== 404 && error.statusCode !== 409) throw error
  })
}

/** Whether a live run, of this machine or another, has containers on the engine. */
export async function isEngineInUse(): Promise<boolean> {
  const docker = (await getContainerRuntimeClient()).container.dockerode
  const containers = await docker.listContainers({ all: true, filters: { label: [LABEL] } })
  return containers.some(({ Labels }) => !isLeft(Labels[LABEL]))
}
