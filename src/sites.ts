import { execFileSync } from 'node:child_process'
import { openCommandConnector } from '../connectors/command.ts'
import type { Dialect } from '../connectors/dialect.ts'
import { openLocalConnector } from '../connectors/local/local.ts'
import { pbs } from '../connectors/pbs/pbs.ts'
import { SGE_WORDS, sge } from '../connectors/sge/sge.ts'
import { slurm } from '../connectors/slurm/slurm.ts'
import { localTransport } from '../connectors/transport/local.ts'
import { localQueue, type SiteGround } from './campaign/campaign.ts'
import { openSites, type SiteSetting, siteNamed, sitesFile } from './config/config.ts'
import { localSite, openScratchSite, type Site } from './dispatch/dispatch.ts'
import { sitePaths } from './model/campaign.ts'

const DIALECTS: Readonly<Record<SiteSetting['connector'], (setting: SiteSetting) => Dialect>> = {
  slurm: () => slurm,
  pbs: () => pbs,
  sge: ({ pe, memory, gpu }) =>
    sge({ parallelEnvironment: pe, memory: memory ?? SGE_WORDS.memory, gpus: gpu ?? SGE_WORDS.gpus }),
}

/** Chooses what a site is made of, by its name: `local`, or one of sites.yaml. `program` gives the path of a bundled program. */
export async function openSite(name: string, ground: SiteGround, program: (name: string) => string): Promise<Site> {
  if (name === 'local') return thisMachine(ground, program)
  const path = sitesFile(process.env)
  return cluster(siteNamed(openSites(path), name, path), ground, program('runner'))
}

function thisMachine({ paths, campaignId, roots, slots }: SiteGround, program: (name: string) => string): Site {
  return localSite({
    paths: sitePaths(paths.scratch, campaignId),
    outputs: paths.outputs,
    roots,
    slots,
    connect: async () =>
      openLocalConnector({
        directory: localQueue(paths.scratch),
        slots,
        node: process.execPath,
        schedulerFile: program('local-scheduler'),
      }),
    runner: [process.execPath, program('runner')],
  })
}

async function cluster(setting: SiteSetting, { paths, campaignId }: SiteGround, runner: string): Promise<Site> {
  const { ssh, connector, setup } = setting
  // Who names no site over SSH never loads it.
  const transport = ssh === null ? localTransport() : (await import('../connectors/transport/ssh.ts')).sshTransport(ssh)
  return openScratchSite({
    ...setting,
    paths: sitePaths(setting.scratch, campaignId),
    mirror: sitePaths(paths.scratch, campaignId),
    transport,
    connector: openCommandConnector({ dialect: DIALECTS[connector](setting), transport, setup }),
    runner: {
      file: runner,
      node: { path: process.execPath, system: execFileSync('uname', ['-sm'], { encoding: 'utf8' }).trim() },
      own: setting.node,
      site: setting.name,
    },
    intervalMs: setting.intervalSec * 1000,
  })
}
