import { join } from 'node:path'
import { type GridEngineSite, startGridEngine } from '../clusters.ts'
import { until } from '../machine.ts'
import { recordGridEngineEnds } from './gridengine-ends.ts'
import { recordGridEngineRefusals } from './gridengine-refusals.ts'
import { Recorder } from './recorder.ts'

const FOLDER = join(import.meta.dirname, '../golden/sge/real')

/** A cluster, who writes down what it prints, and short ways to ask it. */
export interface GridEngineGround {
  readonly site: GridEngineSite
  readonly recorder: Recorder
  root(script: string): Promise<string>
  alice(script: string): Promise<string>
  /** Submits as alice; answers the id. */
  qsub(options: string, script?: string): Promise<string>
  /** Until as many tasks of alice are in this state, or more; for 0: until none is. */
  untilTasks(state: string, count: number): Promise<unknown>
}

const PARTS = {
  settings: recordSettings,
  refusals: recordGridEngineRefusals,
  states: recordStates,
  ends: recordGridEngineEnds,
}

export async function recordGridEngine(parts: readonly string[]): Promise<void> {
  const site = await startGridEngine({ config: { max_aj_tasks: '1000', max_u_jobs: '30' }, queue: { rerun: 'TRUE' } })
  const alice = (script: string) => site.login.ask(`cd /scratch/alice; ${script}`, 'alice')
  const ground: GridEngineGround = {
    site,
    recorder: new Recorder(FOLDER, site.login),
    root: (script) => site.login.ask(script),
    alice,
    qsub: async (options, script = 'sleep 600') => {
      const id = await alice(`echo '${script}' | qsub -terse -S /bin/sh -j y -o /dev/null ${options}`)
      return id.split('\n').at(-1)!.split('.')[0]!
    },
    untilTasks: (state, count) =>
      until(
        async () => {
          const rows = (await alice('qstat -g d')).split('\n').filter((row) => row.split(/ +/)[5] === state)
          return count === 0 ? rows.length === 0 : rows.length >= count
        },
        { what: `${count} tasks are ${state}`, waitMs: 150_000 },
      ),
  }
  try {
    for (const [part, record] of Object.entries(PARTS)) {
      if (parts.length === 0 || parts.includes(part)) await record(ground)
    }
  } finally {
    await site.stop()
  }
}

async function recordSettings({ recorder, root, site }: GridEngineGround): Promise<void> {
  const commands = [
    'qconf -sconf',
    "sh -c 'qconf -help | head -n 1'",
    `sh -c 'for queue in $(qconf -sql); do qconf -sq "$queue"; done'`,
    'qconf -spl',
  ]
  await recorder.record('limits-settings', { about: ['max_aj_tasks 1000, max_u_jobs 30.'], commands })
  await recorder.record('other-settings', {
    about: ['Settings in other forms.'],
    commands: [
      'qconf -ssconf',
      'qconf -sp smp',
      'qconf -sel',
      'qconf -se c1',
      'qconf -sc',
      'qconf -shgrp @nodes',
      'qhost',
      'qhost -q',
      'qstat -f',
      'qstat -g c',
      'qstat -help | head -n 1',
      'qconf -srqsl',
      'qconf -sprjl',
    ],
  })
  await site.master.ask('qconf -dh login')
  await recorder.record('limits-not-admin', {
    about: ['The login machine may submit, and is no administrative host.'],
    commands,
  })
  await site.master.ask('qconf -ah login')
  await root('true')
}

const STATUS = 'qstat -xml'

async function recordStates(ground: GridEngineGround): Promise<void> {
  const { recorder, alice } = ground
  await recorder.record('status-none', { about: ['arrays 99999=3', 'No jobs at all.'], commands: [STATUS] })
  await recordRunning(ground)
  await recordHeld(ground)
  await recordSuspended(ground)
  await recordErrors(ground)
  await recordDeleting(ground)
  await alice('qdel -u alice > /dev/null; true')
}

async function recordRunning({ recorder, alice, qsub, untilTasks }: GridEngineGround): Promise<void> {
  const id = await qsub('-N winds -t 1-60 -tc 6')
  await recorder.record('status-waiting', { about: [`arrays ${id}=60`, 'At once after qsub.'], commands: [STATUS] })
  await untilTasks('r', 6)
  await alice(`qdel ${id}.2 ${id}.20-22`)
  const plain = await qsub('-N plain')
  const wide = await qsub('-N wide -pe smp 4 -t 1-2')
  await untilTasks('r', 9)
  await recorder.record('status-running', {
    about: [
      `arrays ${id}=60 ${wide}=2`,
      `${id}.2 was deleted while it ran, 20 to 22 while they waited; ${plain} is no array; tasks of ${wide} take four slots.`,
    ],
    commands: [STATUS],
  })
  await recorder.record('other-running', {
    about: ['The same in other forms.'],
    commands: [
      'qstat',
      'qstat -g d',
      'qstat -f',
      'qstat -r',
      `qstat -j ${id}`,
      `qstat -j ${id} -xml`,
      'qstat -ext',
      'qstat -s p',
      'qstat -s r -xml',
      "qstat -u '*'",
      'qstat -xml -f',
    ],
  })
  await alice(`qdel ${id} ${plain} ${wide}`)
  await untilTasks('r', 0)
  const brief = await qsub('-t 1-400 -tc 8', 'sleep 1')
  await recorder.record('status-starting', {
    about: [`arrays ${brief}=400`, 'Tasks of a second; some are on their way to their nodes.'],
    commands: [STATUS],
    until: /<state>t<\/state>/,
  })
  await alice(`qdel ${brief}`)
  await untilTasks('r', 0)
}

async function recordHeld({ recorder, alice, root, qsub, untilTasks }: GridEngineGround): Promise<void> {
  const own = await qsub('-h -t 1-5')
  const partly = await qsub('-t 1-9 -tc 2')
  await untilTasks('r', 2)
  await alice(`qhold ${partly} -t 5-6`)
  const byAdmin = await qsub('-a 209901010000 -t 1-3')
  await root(`qhold -h o ${byAdmin}`)
  const after = await qsub(`-hold_jid ${partly} -t 1-3`)
  const later = await qsub('-a 209901010000 -t 1-3')
  await root('sleep 3')
  await recorder.record('status-held', {
    about: [
      `arrays ${own}=5 ${partly}=9 ${byAdmin}=3 ${after}=3 ${later}=3`,
      `${own} was submitted held, tasks 5 and 6 of ${partly} are held by alice, ${byAdmin} by an operator, ${after} waits for ${partly}, ${later} for 2099.`,
    ],
    commands: [STATUS],
  })
  await recorder.record('other-held', {
    about: ['The same in other forms.'],
    commands: ['qstat', 'qstat -s h', `qstat -j ${after}`, `qstat -j ${byAdmin}`, `qstat -j ${later}`],
  })
  await alice('qdel -u alice > /dev/null')
  await untilTasks('r', 0)
}

async function recordSuspended({ recorder, alice, root, qsub, untilTasks }: GridEngineGround): Promise<void> {
  const id = await qsub('-t 1-4 -q main.q@c1')
  await untilTasks('r', 4)
  await root(`qmod -sj ${id}.1`)
  await recorder.record('status-suspended', {
    about: [`arrays ${id}=4`, 'Task 1 is suspended.'],
    commands: [STATUS],
    until: /<state>s<\/state>/,
  })
  await root('qmod -sq main.q@c1')
  await recorder.record('status-queue-suspended', {
    about: [`arrays ${id}=4`, 'The same, and the whole queue is suspended.'],
    commands: [STATUS],
    until: /<state>S<\/state>/,
  })
  await root('qmod -usq main.q@c1; qmod -usj ' + `${id}.1; qmod -rj ${id}.2`)
  await recorder.record('status-rescheduled', {
    about: [`arrays ${id}=4`, 'Task 2 was rescheduled and runs again.'],
    commands: [STATUS],
    until: /<state>Rr<\/state>/,
  })
  await recorder.record('other-rescheduled', {
    about: ['The same in other forms.'],
    commands: ['qstat', 'qstat -f', `qacct -j ${id}`],
  })
  await alice('qdel -u alice > /dev/null')
  await untilTasks('r', 0)
}

async function recordErrors({ recorder, alice, root, qsub }: GridEngineGround): Promise<void> {
  const folder = await qsub('-t 1-3 -wd /nosuch')
  const output = (await alice('echo true | qsub -terse -t 1-2 -j y -o /nosuch/out -N no-output')).split('.')[0]!
  await recorder.record('status-error', {
    about: [
      `arrays ${folder}=3 ${output}=2`,
      `The working directory of ${folder} is not there, nor the folder for the output of ${output}.`,
    ],
    commands: [STATUS],
    until: /Eqw<[\s\S]*no-output[\s\S]*Eqw</,
  })
  await recorder.record('other-error', {
    about: ['The same in other forms.'],
    commands: ['qstat', `qstat -j ${folder}`, `qstat -j ${output}`, `qstat -explain E`, `qacct -j ${folder}`],
  })
  await alice('qdel -u alice > /dev/null')
  await root('qmod -c "*"')
}

/** A node that is gone: what runs on it goes on running in all tables, and cannot be deleted. */
async function recordDeleting({ recorder, site, alice, root, qsub, untilTasks }: GridEngineGround): Promise<void> {
  const id = await qsub('-t 1-2 -q main.q@c2 -r n')
  const again = await qsub('-t 1-2 -q main.q@c2,main.q@c1 -r y')
  await untilTasks('r', 4)
  await site.machine('c2').kill()
  await alice(`qdel ${id}`)
  await recorder.record('status-deleting', {
    about: [`arrays ${id}=2 ${again}=2`, `The node of ${id} was killed, then ${id} was deleted.`],
    commands: [STATUS],
    until: /<state>dr<\/state>/,
  })
  await recorder.record('other-node-gone', {
    about: ['max_unheard later.'],
    commands: ['qstat -f', 'qhost', 'qstat', `qstat -j ${id}`, 'qstat -f -explain a', `qdel ${id}`],
    until: /lx-amd64 +u/,
  })
  await root(`qdel -f ${id}; sleep 2`)
  await recorder.record('other-forced', {
    about: [`${id} was deleted by force.`],
    commands: ['qstat', `qacct -j ${id}`],
  })
  await site.machine('c2').start()
  await root('until qstat -f -q main.q@c2 | grep -q "lx-amd64 *$"; do sleep 1; done')
  await alice('qdel -u alice > /dev/null; true')
}
