import type { GridEngineGround } from './gridengine.ts'

const qacct = (...ids: readonly string[]): string =>
  `sh -c 'me=$(id -un); for id do qacct -o "$me" -j "$id" 2>&1; done; exit 0' qacct ${ids.join(' ')}`

const EXITS = [
  'case $SGE_TASK_ID in',
  '2) exit 1;;',
  '3) exit 255;;',
  '4) kill -9 $$;;',
  '5) kill -15 $$;;',
  '6) /nosuch;;',
  '7) exit 137;;',
  '8) dd if=/dev/zero of=/dev/null bs=200M count=60; sleep 1;;',
  '9) kill -XCPU $$;;',
  'esac',
].join(' ')

/** What accounting says of tasks that ended. */
export async function recordGridEngineEnds({
  recorder,
  alice,
  root,
  qsub,
  untilTasks,
}: GridEngineGround): Promise<void> {
  const exits = await qsub('-t 1-9', EXITS)
  const taskids = (count: number): RegExp => new RegExp(`(^taskid[\\s\\S]*){${count}}`, 'm')
  await recorder.record('accounting-at-once', {
    about: [`arrays ${exits}=9`, 'At once after qsub.'],
    commands: [qacct(exits)],
  })
  await recorder.record('accounting-exits', {
    about: [
      `arrays ${exits}=9`,
      '1 fine; 2 exit 1; 3 exit 255; 4 killed itself by KILL, 5 by TERM; 6 no such program; 7 exit 137; 8 used 200 MB; 9 killed itself by XCPU.',
    ],
    commands: [qacct(exits)],
    until: taskids(9),
  })
  const plain = await qsub('', 'exit 3')
  await recorder.record('accounting-plain-job', {
    about: ['Not an array.'],
    commands: [qacct(plain)],
    until: taskids(1),
  })
  const walltime = await qsub('-t 1-2 -l h_rt=3')
  const memory = await qsub('-t 1-2 -l h_vmem=100M', 'perl -e "\\$x = q(a) x 300000000"; exit $?')
  const cancelled = await qsub('-t 1-9 -tc 2')
  await untilTasks('r', 4)
  await alice(`qdel ${cancelled}.1 ${cancelled}.5; sleep 1; qdel ${cancelled}`)
  await recorder.record('accounting-walltime', {
    about: [`arrays ${walltime}=2`, 'h_rt of 3 s.'],
    commands: [qacct(walltime)],
    until: taskids(2),
  })
  await recorder.record('accounting-memory', {
    about: [`arrays ${memory}=2`, 'h_vmem of 100 MB; the program wants 300 MB.'],
    commands: [qacct(memory)],
    until: taskids(2),
  })
  await recorder.record('accounting-cancelled', {
    about: [`arrays ${cancelled}=9`, 'Deleted: 1 while it ran, 5 while it waited, then all.'],
    commands: [qacct(cancelled)],
    until: taskids(2),
  })
  const again = await qsub('-t 1-2 -r y', 'sleep 3')
  await untilTasks('r', 2)
  await root(`qmod -rj ${again}.1`)
  await recorder.record('accounting-rescheduled', {
    about: [`arrays ${again}=2`, 'Task 1 was rescheduled while it ran, and ran again.'],
    commands: [qacct(again)],
    until: taskids(3),
  })
  const shell = await qsub('-t 1-2 -S /nosuch')
  const asks = await qsub('-t 1-2', 'exit 100')
  const asksAgain = await qsub(
    '-t 1-1',
    'test -e /scratch/alice/second && exit 0; touch /scratch/alice/second; exit 99',
  )
  await recorder.record('status-asked', {
    about: [
      `arrays ${shell}=2 ${asks}=2 ${asksAgain}=1`,
      `${shell} has a shell that is not there; tasks of ${asks} left with 100.`,
    ],
    commands: ['qstat -xml'],
    until: /Eqw[\s\S]*Eqw/,
  })
  await recorder.record('accounting-asked', {
    about: [`arrays ${shell}=2 ${asks}=2 ${asksAgain}=1`, `The same; ${asksAgain} left with 99 and ran again.`],
    commands: [qacct(shell, asks, asksAgain)],
    until: taskids(6),
  })
  await recorder.record('other-ends', {
    about: ['Accounting in other forms.'],
    commands: [
      `qacct -j ${exits} -t 2`,
      `qacct -j ${exits} -t 77`,
      `qacct -o alice`,
      'qacct',
      'qstat -s z',
      'qstat -s z -xml',
      `tail -n 3 /var/lib/gridengine/default/common/accounting`,
    ],
  })
  await alice('qdel -u alice > /dev/null; true')
}
