import { rmSync } from 'node:fs'
import { basename } from 'node:path'
import type { SiteLimits } from '../connectors/connector.ts'
import { NO_TROUBLE, SimulatedCluster, type Troubles } from '../connectors/simulated/simulated.ts'
import type { Simulation, SimulationWishes, SiteGround } from './campaign/campaign.ts'
import { openSites, type SiteSetting, siteNamed, sitesFile } from './config/config.ts'
import { clusterSite, rhythmOf, SimulatedArrays } from './dispatch/dispatch.ts'
import { type DoctorReport, intervalFor, profileFile, readProfile, toSiteLimits } from './doctor/doctor.ts'
import { sitePaths } from './model/campaign.ts'

/** Where neither the person nor `doctor` nor sites.yaml says it: tasks at a time, seconds of a job, seconds that an array waits. */
const TASKS = 100
const JOB_SEC = 60
const WAIT_SEC = 300
const CORES_OF_NODE = 64
/** Of a site that `doctor` never looked at. */
const NO_LIMITS: SiteLimits = {
  ...{ version: 'not looked at', arrayMax: 1001, queuedMax: null, arraysMax: null, queues: [], accounts: [] },
  ...{ forgetsAfterSec: 300, hasAccounting: true, notes: [] },
}
const HERE: SiteLimits = { ...NO_LIMITS, version: 'this machine', arrayMax: 1000 }

const TROUBLES: Readonly<Record<SimulationWishes['trouble'], Troubles>> = {
  none: NO_TROUBLE,
  some: {
    ...{ lostReplies: 0.01, lies: 0.002, forgotten: 0.0005, preempted: 0.005, slowNodes: 0.02, purged: 0 },
    nodeFailuresPerDay: 0.05,
  },
  much: {
    ...{ lostReplies: 0.1, lies: 0.02, forgotten: 0.003, preempted: 0.05, slowNodes: 0.1, purged: 0.01 },
    nodeFailuresPerDay: 0.5,
  },
}

/**
 * A cluster in memory that stands for a site: with the limits and the waiting that `doctor` found there, the rhythm and the wishes of sites.yaml, and
 * what the person says. Reads files of this machine only. Throws SITE_UNKNOWN.
 */
export async function openSimulation(
  name: string,
  { campaignId, paths, roots, slots }: SiteGround,
  wishes: SimulationWishes,
): Promise<Simulation> {
  const path = sitesFile(process.env)
  const setting = name === 'local' ? undefined : siteNamed(openSites(path), name, path)
  const profile = setting && readProfile(profileFile(path, name))
  const assumed = assumedOf(wishes, { setting, profile, slots })
  const { clock, seed, trouble, known } = wishes
  const rule = { seed, jobSec: assumed.job_sec, failures: assumed.failures }
  const held = new SimulatedArrays(rule)
  const cluster = new SimulatedCluster({
    ...{ seed, now: () => clock.now(), cores: assumed.cores, coresOfNode: CORES_OF_NODE },
    ...{ waitSec: assumed.wait_sec, callsPerMinute: trouble === 'much' ? 6 : null, troubles: TROUBLES[trouble] },
    limits: profile?.limits ? toSiteLimits(profile.version ?? '', profile.limits) : setting ? NO_LIMITS : HERE,
    begin: (task) => held.begin(task),
    purge({ directory }) {
      held.drop(basename(directory))
      rmSync(directory, { recursive: true, force: true })
    },
  })
  const wanted = setting ?? HERE_SETTING
  return {
    assumed,
    site: clusterSite({
      ...{
        ...wanted,
        name,
        ...{ cluster, held },
        known: known({ ...roots, ...wanted.roots }),
        slots: assumed.cores,
        outputs: paths.outputs,
      },
      ...{ roots: { ...roots, ...wanted.roots }, rhythm: rhythmOf(1000 * assumed.interval_sec) },
      paths: sitePaths(paths.scratch, campaignId),
    }),
    counted: () => {
      cluster.advance()
      const { coreMs, lostCoreMs, tasks, lostTasks } = cluster.spent
      return {
        ...{ calls: { ...cluster.calls }, samples: cluster.samples, tasks, lost_tasks: lostTasks },
        ...{ core_hours: coreMs / 3_600_000, lost_core_hours: lostCoreMs / 3_600_000 },
      }
    },
  }
}

const HERE_SETTING = {
  ...{ queue: null, account: null, options: [], task: { cpus: 1, walltimeSec: null }, roots: {} },
  limits: { queued: null, array: null },
}

interface Place {
  readonly setting: SiteSetting | undefined
  readonly profile: DoctorReport | undefined
  readonly slots: number
}

function assumedOf(
  { seed, cores, jobSec, waitSec, failures, trouble }: SimulationWishes,
  { setting, profile, slots }: Place,
): Simulation['assumed'] {
  const rule = setting?.connector === 'simulated' ? setting.simulate : undefined
  const measuredWait = profile?.measured.waited_sec ?? null
  const wait =
    waitSec !== undefined
      ? ({ wait_sec: waitSec, wait_sec_from: 'given' } as const)
      : measuredWait !== null
        ? ({ wait_sec: measuredWait, wait_sec_from: 'measured' } as const)
        : ({ wait_sec: setting ? (rule?.queueDelaySec ?? WAIT_SEC) : 0, wait_sec_from: 'guessed' } as const)
  return {
    seed,
    cores: cores ?? setting?.slots ?? (setting ? TASKS * setting.task.cpus : slots),
    job_sec: jobSec?.value ?? rule?.jobSec ?? JOB_SEC,
    job_sec_from: jobSec?.from ?? 'guessed',
    ...wait,
    interval_sec: setting ? (profile ? intervalFor(setting.intervalSec, profile.measured) : setting.intervalSec) : 1,
    failures: failures ?? rule?.failures ?? 0,
    trouble,
    profile_of: profile?.checked_at ?? null,
  }
}
