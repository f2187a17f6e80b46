import { SACCT_COLUMNS, type SlurmGround, sacct, squeue } from './slurm.ts'

const WIDE =
  'JobID,JobIDRaw,JobName,State,ExitCode,DerivedExitCode,NodeList,Submit,Start,End,Elapsed,Timelimit,ReqMem,MaxRSS,Reason,Comment'

/** What is said of tasks that ended, by the queue while it remembers them and by accounting. */
export async function recordEnds(ground: SlurmGround): Promise<void> {
  // Limits are whole minutes: it ends while the rest is recorded.
  const overtime = await ground.sbatch('--array=0-1 --time=0:01 --nodelist=c1')
  await recordExits(ground)
  await recordLag(ground)
  await recordCancelled(ground)
  await recordPreempted(ground)
  await recordNodeFail(ground)
  await ground.untilState(overtime, 'TIMEOUT')
  await recordEnd(ground, { name: 'timeout', id: overtime, count: 2, until: /TIMEOUT[\s\S]*TIMEOUT[^.]*$/m })
}

interface End {
  readonly name: string
  readonly id: string
  readonly count: number
  readonly until: RegExp
  readonly about?: string
}

export async function recordEnd({ recorder }: SlurmGround, { name, id, count, until, about }: End): Promise<void> {
  const remarks = [`arrays ${id}=${count}`, ...(about ? [about] : [])]
  await recorder.record(`accounting-${name}`, { about: remarks, commands: [sacct(id)], until })
  await recorder.record(`status-${name}`, { about: remarks, commands: [squeue(id)] })
  await recorder.record(`other-${name}`, {
    about: remarks,
    commands: [
      sacct(id, WIDE, ' -X'),
      sacct(id, WIDE, ' -D'),
      `sacct -j ${id}`,
      `scontrol -o show job ${id}`,
      `squeue -h -t all -j ${id} -O 'ArrayTaskID:|,State:|,exit_code:|,Reason:|'`,
    ],
  })
}

const EXITS = [
  'case $SLURM_ARRAY_TASK_ID in',
  '1) exit 1;;',
  '2) exit 255;;',
  '3) kill -9 $$;;',
  '4) kill -15 $$;;',
  '5) sh -c "kill -9 \\$\\$"; exit $?;;',
  '6) /nosuch;;',
  '7) dd if=/dev/zero of=/dev/null bs=200M count=60; sleep 1;;',
  'esac',
].join(' ')

async function recordExits(ground: SlurmGround): Promise<void> {
  const id = await ground.sbatch("--array=0-7 --comment='floe:abc|123'", EXITS.replaceAll("'", ''))
  await recordEnd(ground, {
    ...{ name: 'exits', id, count: 8, until: /_7\|COMPLETED/ },
    about:
      '0 fine; 1 exit 1; 2 exit 255; 3 killed itself by KILL, 4 by TERM; 5 exit 137; 6 no such program; 7 used 200 MB.',
  })
  const plain = await ground.sbatch('', 'exit 3')
  await recordEnd(ground, { name: 'plain-job', id: plain, count: 1, until: /FAILED/, about: 'Not an array.' })
}

/** Accounting lags: at first it knows nothing, then not that the job is an array. */
async function recordLag({ recorder, sbatch }: SlurmGround): Promise<void> {
  const id = await sbatch('--array=0-2%1', 'sleep 8')
  await recorder.record('accounting-at-once', {
    about: [`arrays ${id}=3`, 'At once after sbatch.'],
    commands: [sacct(id)],
  })
  const seen = await sbatch('--array=0-2%1', 'sleep 8')
  await recorder.record('accounting-a-moment-later', {
    about: [`arrays ${seen}=3`, 'The first that accounting says of it.'],
    commands: [sacct(seen)],
    until: /\|/,
  })
  await recorder.record('accounting-running', {
    about: [`arrays ${seen}=3`, 'While one runs and two wait.'],
    commands: [sacct(seen), sacct(seen, SACCT_COLUMNS, ' -X')],
    until: /_0\|RUNNING/,
  })
}

async function recordCancelled(ground: SlurmGround): Promise<void> {
  const { alice, root, sbatch, untilState } = ground
  const id = await sbatch('--array=0-20%2', 'sleep 600')
  await untilState(id, 'RUNNING')
  await alice(`scancel ${id}_4 '${id}_[7-9]'`)
  await root(`scancel ${id}`)
  await recordEnd(ground, {
    ...{ name: 'cancelled', id, count: 21, until: /_0\|CANCELLED[\s\S]*_1\|CANCELLED/ },
    about: '4 and 7 to 9 were cancelled by alice, the rest by root; 0 and 1 ran.',
  })
  const caught = await sbatch('--array=0-1', 'trap "exit 4" TERM; sleep 600 & wait')
  await untilState(caught, 'RUNNING')
  await alice(`sleep 1; scancel ${caught}_0; scancel --signal=TERM --full ${caught}_1`)
  await recordEnd(ground, {
    ...{ name: 'cancelled-caught', id: caught, count: 2, until: /_0\|CANCELLED[\s\S]*_1\|FAILED/ },
    about: 'Both leave with 4 on TERM; 0 was cancelled, 1 was sent the signal.',
  })
}

async function recordPreempted(ground: SlurmGround): Promise<void> {
  const { sbatch, untilState } = ground
  const low = await sbatch('--partition=low --array=0-1 --cpus-per-task=8', 'sleep 600')
  await untilState(low, 'RUNNING')
  const high = await sbatch('--partition=high --exclusive', 'sleep 5')
  await untilState(high, 'RUNNING')
  await recordEnd(ground, { name: 'preempted', id: low, count: 2, until: /_0\|PREEMPTED[\s\S]*_1\|PREEMPTED/ })
  const again = await sbatch('--requeue --partition=again --array=0-1 --cpus-per-task=8', 'sleep 600')
  await untilState(again, 'RUNNING')
  const later = await sbatch('--partition=high --exclusive', 'sleep 15')
  await untilState(later, 'RUNNING')
  await recordEnd(ground, {
    ...{ name: 'preempted-requeued', id: again, count: 2, until: /PREEMPTED|PENDING|REQUEUED/ },
    about: 'Requeued instead of cancelled.',
  })
  await ground.root(`scancel ${again}`)
}

async function recordNodeFail(ground: SlurmGround): Promise<void> {
  const { recorder, root, sbatch, site, untilState } = ground
  const gone = await sbatch('--no-requeue --array=0-1 --nodelist=c2', 'sleep 600')
  const back = await sbatch('--requeue --array=0-1 --nodelist=c2', 'sleep 600')
  await untilState(gone, 'RUNNING')
  await untilState(back, 'RUNNING')
  await site.machine('c2').kill()
  await recorder.record('other-node-silent', {
    about: ['The node of these jobs was killed a second ago.'],
    commands: ['sleep 1; sinfo -N -h', squeue(`${gone},${back}`)],
  })
  await recordEnd(ground, { name: 'node-fail', id: gone, count: 2, until: /_0\|NODE_FAIL[\s\S]*_1\|NODE_FAIL/ })
  await recordEnd(ground, { name: 'node-fail-requeued', id: back, count: 2, until: /PENDING|REQUEUED|NODE_FAIL/ })
  await recorder.record('other-node-down', {
    about: ['The node is down.'],
    commands: ['sinfo', 'sinfo -R', 'scontrol -o show node c2'],
  })
  await root(`scancel ${back}`)
  await site.machine('c2').start()
}
