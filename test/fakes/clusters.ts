import { openCommandConnector } from '../../connectors/command.ts'
import type { Connector } from '../../connectors/connector.ts'
import type { Dialect } from '../../connectors/dialect.ts'
import { pbs } from '../../connectors/pbs/pbs.ts'
import { SGE_WORDS, sge } from '../../connectors/sge/sge.ts'
import { slurm } from '../../connectors/slurm/slurm.ts'
import { localTransport } from '../../connectors/transport/local.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import type { FakeOptions, FakeScheduler } from './scheduler/fake-scheduler.ts'
import { FakePbs } from './scheduler/pbs.ts'
import { FakeSge } from './scheduler/sge.ts'
import { FakeSlurm } from './scheduler/slurm.ts'

export interface Cluster {
  readonly name: string
  readonly dialect: Dialect
  fake(options: FakeOptions): FakeScheduler
}

/** Each scheduler with a fake of it. */
export const CLUSTERS: readonly Cluster[] = [
  { name: 'slurm', dialect: slurm(), fake: (options) => new FakeSlurm(options) },
  { name: 'pbs', dialect: pbs, fake: (options) => new FakePbs(options) },
  {
    name: 'sge',
    dialect: sge({ ...SGE_WORDS, parallelEnvironment: 'smp' }),
    fake: (options) => new FakeSge(options),
  },
]

export const clusterOf = (name: string): Cluster => CLUSTERS.find((cluster) => cluster.name === name)!

/** A connector to a fake as a site on this machine; the way is quick to give up. */
export function connectTo(
  { dialect }: Cluster,
  fake: FakeScheduler,
  options: { transport?: Transport; setup?: readonly string[]; looksMs?: readonly number[] } = {},
): Connector {
  return openCommandConnector({
    dialect,
    transport: options.transport ?? localTransport(),
    setup: [`PATH=${fake.bin}:$PATH`, ...(options.setup ?? [])],
    looksMs: options.looksMs ?? [50, 100],
  })
}
