import type { GridEngineGround } from './gridengine.ts'

const qsub = (options: string): string => `echo true | qsub -terse -S /bin/sh -j y -o /dev/null ${options}`

/** What qsub refuses, one block each; then what has no queue and nothing left to delete. */
export async function recordGridEngineRefusals(ground: GridEngineGround): Promise<void> {
  const { recorder, site, alice, root } = ground
  await alice('printf "%s\\n" hostname > no-shebang; : > empty')
  await recorder.record('refusal-qsub', {
    about: ['max_aj_tasks is 1000. Warnings about what can never run are not refusals.'],
    commands: [
      qsub('-q nosuch.q'),
      qsub('-q main.q@nosuch'),
      qsub('-pe nosuch 4'),
      qsub('-pe smp 0'),
      qsub('-P nosuch'),
      qsub('-l nosuch=1'),
      qsub('-l h_rt=soon'),
      qsub('-l gpu=1'),
      qsub('-t 1-1001'),
      qsub('-t 0-5'),
      qsub('-t 5-2'),
      qsub('-t x'),
      qsub('-N 9winds'),
      qsub('-N "wi nds"'),
      qsub('-N wi/nds'),
      qsub('-tc x -t 1-2'),
      qsub('-nosuch'),
      qsub('-w e -q short.q -l h_rt=1:00:00'),
      qsub('-w e -pe smp 99'),
      qsub('-w e -l h_vmem=900G'),
      'qsub -terse nosuch',
      'qsub -terse empty',
      'SGE_ROOT=/nosuch qsub -terse no-shebang',
      'SGE_CELL=nosuch qsub -terse no-shebang',
      'PATH=/nosuch; qsub -terse no-shebang',
    ],
  })
  await recorder.record('other-accepted', {
    about: ['Accepted: what cannot start, and what qsub prints of an array, a job, without -terse.'],
    commands: [
      qsub('-h -q short.q -l h_rt=1:00:00'),
      qsub('-h -pe smp 99'),
      qsub('-h -t 1-4'),
      qsub('-h -t 1-1'),
      qsub('-h -t 1-9:4'),
      qsub('-h'),
      'echo true | qsub -h -o /dev/null',
      'echo true | qsub -h -t 1-4 -o /dev/null',
      'qsub -terse -h -o /dev/null no-shebang',
      qsub(`-h -N "w$(printf '%0300d' 0)"`),
      qsub('-w v -q nosuch.q'),
      qsub('-w v -t 1-4'),
      'qstat',
    ],
  })
  await alice('qdel -u alice > /dev/null')
  await root('sleep 2')
  await alice('for i in $(seq 30); do echo true | qsub -terse -h -o /dev/null; done > /dev/null')
  await recorder.record('refusal-too-many', {
    about: ['max_u_jobs is 30, and 30 are there.'],
    commands: [qsub('-t 1-2')],
  })
  await alice('qdel -u alice > /dev/null')
  await recordGone(ground)
  await site.master.ask('qconf -ds login; qconf -dh login')
  await recorder.record('refusal-no-submit-host', {
    about: ['The login machine may not submit.'],
    commands: [qsub('-t 1-2'), 'qstat -xml', 'qdel 1', 'qconf -sconf'],
  })
  await site.master.ask('qconf -as login; qconf -ah login')
  await site.master.pause()
  await recorder.record('refusal-master-silent', {
    about: ['The master does not answer.'],
    commands: [qsub('-t 1-2'), 'qstat -xml'],
  })
  await site.master.unpause()
  await root('until qstat > /dev/null; do sleep 1; done; sleep 3; qdel -u alice > /dev/null 2>&1; true')
  await site.master.kill()
  await recorder.record('refusal-master-away', {
    about: ['The machine of the master is gone.'],
    commands: [qsub('-t 1-2'), 'qdel 1', 'qconf -sconf', 'qacct -j 1'],
  })
  await recorder.record('status-master-away', { about: ['arrays 1=3'], commands: ['qstat -xml'] })
  await site.master.start()
  await root('until qstat -f -q main.q | grep -c "lx-amd64 *$" | grep -qx 2; do sleep 1; done')
}

async function recordGone({ recorder, site, alice, qsub }: GridEngineGround): Promise<void> {
  const ended = await qsub('-t 1-2', 'true')
  const bobs = await site.login.ask("cd /scratch/bob; echo 'sleep 600' | qsub -terse -o /dev/null -j y", 'bob')
  await alice(`until qacct -j ${ended} > /dev/null 2>&1; do sleep 0.5; done; sleep 1`)
  const running = await qsub('-t 1-3')
  await alice(`until qstat | grep -q ' r '; do sleep 0.2; done; qdel ${running}.1`)
  await recorder.record('gone-qdel', {
    about: [
      'Of an id that never was; of tasks that ended; of a task that never was; twice; of a job of somebody else; of one that runs.',
    ],
    commands: [
      'qdel 99999',
      `qdel ${ended}`,
      `qdel ${ended}.1`,
      `qdel ${running}.77`,
      `qdel ${running}.1`,
      `qdel 99999.5-7`,
      `qdel ${bobs}`,
      'qdel x',
      `qdel ${running}.2`,
      `qdel ${running}`,
      `qdel ${running}`,
    ],
  })
  await recorder.record('other-unknown', {
    about: ['Ids of no job.'],
    commands: [
      'qstat -j 99999',
      `qstat -j 99999,${bobs} | head -n 3`,
      'qstat -j x',
      'qacct -j 99999',
      'qacct -o alice -j nosuch',
      'qstat -u nosuch',
      'qstat -j 99999 -xml',
    ],
  })
  await recorder.record('find-names', {
    about: ['name STDIN'],
    commands: ['qstat -xml', `sh -c 'exec qacct -o "$(id -un)" -j "$1"' qacct STDIN`],
  })
  await site.login.ask(`qdel ${bobs}`, 'bob')
}
