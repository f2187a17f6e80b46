import { type SlurmGround, squeue } from './slurm.ts'

/** What squeue shows of arrays that wait, run, end, and are held or sent back. */
export async function recordStates(ground: SlurmGround): Promise<void> {
  await recordWaiting(ground)
  await recordReasons(ground)
  await recordHeld(ground)
  await recordRequeued(ground)
  await recordBrief(ground)
  await ground.root('scancel -u alice')
}

async function recordWaiting({ recorder, alice, root, sbatch, untilState }: SlurmGround): Promise<void> {
  const id = await sbatch(
    '--array=0-59%8',
    'test $SLURM_ARRAY_TASK_ID != 2 || exit 7; test $SLURM_ARRAY_TASK_ID != 3 || kill -9 $$; sleep 600',
  )
  await recorder.record('status-running', {
    about: [`arrays ${id}=60`, 'Task 2 left with 7, task 3 killed itself; eight run at most.'],
    commands: [squeue(id)],
    until: /(.*RUNNING[\s\S]*){8}/,
  })
  await alice(`scancel ${id}_0 '${id}_[20-22,30]'`)
  await untilState(id, 'CANCELLED')
  await recorder.record('status-cancelled-some', {
    about: [`arrays ${id}=60`, 'The same; 0 was cancelled while it ran, 20 to 22 and 30 while they waited.'],
    commands: [squeue(id)],
    until: /\|0\|CANCELLED/,
  })
  await recorder.record('other-forms', {
    about: ['The same array in other forms.'],
    commands: [
      `squeue -j ${id}`,
      `squeue -h -j ${id} -o '%i|%F|%K|%A|%T|%t|%r|%N|%S|%e|%V|%k|%j'`,
      `squeue -h -r -j ${id} -o '%F|%K|%i|%A|%T|%r|%N|%S|%e'`,
      `squeue -h -t all -j ${id} -O 'ArrayJobID:|,ArrayTaskID:|,JobArrayID:|,State:|,exit_code:|,Reason:|'`,
      `scontrol show job ${id}`,
      `scontrol -o show job ${id}_2`,
      `scontrol -o show job ${id}_3`,
    ],
  })
  await alice(`scancel ${id}`)
  const step = await sbatch('--array=0-400:4%2')
  const odd = await sbatch('--array=1,3,5,7,11-13,40,44,50,60,61,62,70,80,90,100,110,120,130,140,150,160,170,180%1')
  await untilState(odd, 'RUNNING')
  await recorder.record('status-steps', {
    about: [`arrays ${step}=401 ${odd}=181`, 'Arrays in steps and of a list, as others may submit them.'],
    commands: [squeue(`${step},${odd}`)],
  })
  await recorder.record('other-cut-ranges', {
    about: ['Without SLURM_BITSTR_LEN=0 ranges are cut.'],
    commands: [`squeue -h -j ${step},${odd} -o '%i|%K|%T'`, `squeue -h -j ${odd} -o '%.18i %.9P'`],
  })
  await alice(`scancel ${step} ${odd}`)
  await root('scancel -u alice')
}

/** Reasons of waiting, on a cluster whose CPUs are taken. */
async function recordReasons({ recorder, alice, root, sbatch, untilState }: SlurmGround): Promise<void> {
  const full = await sbatch('--exclusive --nodes=3')
  await untilState(full, 'RUNNING')
  const asked = [
    ['Resources', '--array=0-2 --priority=100'],
    ['Priority', '--array=0-2'],
    ['a time to begin', '--array=0-2 --begin=now+1hour'],
    ['a dependency', `--array=0-2 --dependency=afterok:${full}`],
    ['a partition that is down', '--array=0-2 --partition=closed'],
    ['more time than the partition allows', '--array=0-2 --partition=short --time=1:00:00'],
    ['QOS tiny: two CPUs at once', '--array=0-1 --qos=tiny --cpus-per-task=3'],
    ['a license that is taken', '--array=0-2 --license=matlab:1'],
    ['a node that is drained', '--array=0-2 --nodelist=c1'],
  ] as const
  const ids: string[] = []
  for (const [, options] of asked) ids.push(await sbatch(options))
  const never = await sbatch(`--array=0-2 --dependency=afterok:${ids[1]}`)
  await alice(`scancel ${ids[1]}`)
  const again = await sbatch('--array=0-2')
  await root('scontrol update nodename=c1 state=drain reason=repair; sleep 4')
  await recorder.record('status-reasons', {
    about: [
      `arrays ${[...ids, never, again].map((id) => `${id}=${id === ids[6] ? 2 : 3}`).join(' ')}`,
      `${asked.map(([why], at) => `${ids[at]}: ${why}`).join('; ')}; ${never}: a dependency that was cancelled; ${again}: as ${ids[0]}.`,
    ],
    commands: [squeue([...ids, never, again].join(','))],
  })
  await recorder.record('other-drained', {
    about: ['c1 is drained, all nodes are taken.'],
    commands: ['sinfo', 'sinfo -R', "sinfo -h -o '%P|%a|%l|%D|%T|%c|%m|%N'", 'scontrol -o show node c1'],
  })
  await root('scancel -u alice; sleep 3')
  const own = [
    ['QOS tiny: two CPUs at once', '--array=0-1 --qos=tiny --cpus-per-task=3'],
    ['a license of which there is one', '--array=0-2 --license=matlab:1'],
    ['a node that is drained', '--array=0-2 --nodelist=c1'],
    ['more nodes than there are', '--array=0-1 --nodes=9'],
    ['more CPUs than a node has', '--array=0-1 --cpus-per-task=99'],
  ] as const
  const waiting: string[] = []
  for (const [, options] of own) waiting.push(await sbatch(options))
  await root('sleep 4')
  await recorder.record('status-reasons-idle', {
    about: [
      `arrays ${waiting.map((id, at) => `${id}=${own[at]![1].includes('0-2') ? 3 : 2}`).join(' ')}`,
      `${own.map(([why], at) => `${waiting[at]}: ${why}`).join('; ')}. c2 and c3 are idle.`,
    ],
    commands: [squeue(waiting.join(','))],
  })
  await root('scontrol update nodename=c1 state=resume; scancel -u alice; sleep 3')
}

async function recordHeld({ recorder, alice, root, sbatch, untilState }: SlurmGround): Promise<void> {
  const own = await sbatch('--hold --array=0-4')
  const byAdmin = await sbatch('--array=0-4%1')
  const partly = await sbatch('--array=0-9%2')
  await untilState(partly, 'RUNNING')
  await root(`scontrol hold ${byAdmin}`)
  await alice(`scontrol hold ${partly}_5`)
  await recorder.record('status-held', {
    about: [
      `arrays ${own}=5 ${byAdmin}=5 ${partly}=10`,
      `${own} was submitted held, ${byAdmin} is held by root, ${partly}_5 by alice.`,
    ],
    commands: [squeue(`${own},${byAdmin},${partly}`)],
  })
  await root(`scontrol suspend ${partly}_0`)
  await recorder.record('status-suspended', {
    about: [`arrays ${partly}=10`, 'Task 0 is suspended.'],
    commands: [squeue(partly)],
  })
  await root(`scontrol resume ${partly}_0; scancel -u alice`)
}

async function recordRequeued({ recorder, root, sbatch, untilState }: SlurmGround): Promise<void> {
  const id = await sbatch('--requeue --array=0-4 --nodelist=c2', 'trap "" TERM; sleep 600')
  await untilState(id, 'RUNNING')
  await root(
    `sleep 2; scontrol requeue ${id}_0; scontrol requeuehold ${id}_1; scontrol requeuehold State=SpecialExit ${id}_2`,
  )
  await recorder.record('status-requeueing', {
    about: [`arrays ${id}=5`, 'At once after 0 was requeued, 1 requeued and held, 2 put into special exit.'],
    commands: [squeue(id)],
  })
  await recorder.record('status-requeued', {
    about: [`arrays ${id}=5`, 'The same, once their processes are gone.'],
    commands: [squeue(id)],
    until: /\|2\|SPECIAL_EXIT[\s\S]*\|0\|PENDING|\|0\|PENDING[\s\S]*\|2\|SPECIAL_EXIT/,
  })
  await recorder.record('other-requeued', {
    about: ['The same in other forms.'],
    commands: [
      `scontrol -o show job ${id}_0`,
      `scontrol -o show job ${id}_1`,
      `scontrol -o show job ${id}_2`,
      `sacct -D -n -p -j ${id} --format=JobID,JobIDRaw,State,ExitCode,NodeList,Submit,Start,End`,
    ],
  })
  await root('scancel -u alice')
  // A prolog that fails drains its node and sends the job back, held.
  await root("printf '#!/bin/sh\\nexit 1\\n' > /scratch/prolog")
  const launch = await sbatch('--requeue --array=0-1 --nodelist=c3')
  await recorder.record('status-launch-failed', {
    about: [`arrays ${launch}=2`, "The node's prolog fails."],
    commands: [squeue(launch)],
    until: /held/,
  })
  await recorder.record('other-launch-failed', {
    about: ["The node's prolog failed."],
    commands: [`scontrol -o show job ${launch}`, 'sinfo -R', 'sinfo -N -h'],
  })
  await root(
    "printf '#!/bin/sh\\nexit 0\\n' > /scratch/prolog; scancel -u alice; scontrol update nodename=c3 state=resume; sleep 3",
  )
}

/** States that last a moment. */
async function recordBrief({ recorder, alice, sbatch, untilState }: SlurmGround): Promise<void> {
  const id = await sbatch('--array=0-2', 'trap "" TERM; for i in 1 2 3 4 5 6 7 8 9; do sleep 1; done')
  await untilState(id, 'RUNNING')
  await alice('sleep 2')
  await alice(`scancel ${id}`)
  await recorder.record('status-completing', {
    about: [`arrays ${id}=3`, 'Cancelled; its processes do not mind the first signal.'],
    commands: [squeue(id)],
    until: /COMPLETING/,
  })
}
