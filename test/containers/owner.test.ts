import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { getContainerRuntimeClient } from 'testcontainers'
import { expect, it } from 'vitest'
import { describeSite } from './engine.ts'
import { imageOf } from './images.ts'
import { labels, sweep } from './owner.ts'

describeSite('what killed runs left', () => {
  it('is removed; what belongs to the living, and to other machines, stays', async () => {
    const docker = (await getContainerRuntimeClient()).container.dockerode
    const own = labels['floe.owner']!
    const owners = {
      alive: own,
      elsewhere: 'another-machine/1/1',
      dead: `${hostname()}/4194304/1`,
      // Another process has the pid of a run that was killed.
      followed: own.replace(/\d+$/, '1'),
    }
    const image = await imageOf('sshhost')
    const run = randomBytes(4).toString('hex')
    const there = async () => {
      const filters = { name: [run] }
      const names = [
        (await docker.listContainers({ all: true, filters })).map(({ Names }) => Names[0]!.slice(1)),
        (await docker.listNetworks({ filters })).map(({ Name }) => Name),
        (await docker.listVolumes({ filters })).Volumes.map(({ Name }) => Name),
      ]
      return names.map((kind) => kind.map((name) => name.replace(`${run}-`, '')).sort())
    }
    for (const [who, owner] of Object.entries(owners)) {
      const name = `${run}-${who}`
      const Labels = { 'floe.owner': owner }
      await docker.createNetwork({ Name: name, Labels })
      await docker.createVolume({ Name: name, Labels })
      const HostConfig = { NetworkMode: name, Binds: [`${name}:/scratch`] }
      await docker.createContainer({ name, Image: image, Labels, HostConfig })
    }
    try {
      expect(await there()).toEqual(Array(3).fill(['alive', 'dead', 'elsewhere', 'followed']))
      await sweep()
      expect(await there()).toEqual(Array(3).fill(['alive', 'elsewhere']))
    } finally {
      for (const who of Object.keys(owners)) {
        const name = `${run}-${who}`
        await docker
          .getContainer(name)
          .remove({ force: true })
          .catch(() => {})
        await docker
          .getNetwork(name)
          .remove()
          .catch(() => {})
        await docker
          .getVolume(name)
          .remove()
          .catch(() => {})
      }
    }
  })
})
