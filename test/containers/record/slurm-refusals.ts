import { type SlurmGround, sacct, squeue } from './slurm.ts'

const submit = (options: string, script = 'true'): string => `sbatch --parsable ${options} --wrap '${script}'`

/** What sbatch refuses, one block each; then what has no queue and nothing left to cancel. */
export async function recordRefusals({ recorder, site, root, alice, sbatch }: SlurmGround): Promise<void> {
  await alice(
    `printf 'hostname\\n' > no-shebang; : > empty; printf '#!/bin/sh\\n' > big; yes '# ice' | head -c 5000000 >> big`,
  )
  await sbatch('--qos=tiny --array=0-3')
  await recorder.record('refusal-sbatch', {
    about: ['With accounts whose limits are enforced; four jobs of QOS tiny (five at most) are queued.'],
    commands: [
      submit('--partition=nosuch'),
      submit('--account=nosuch'),
      submit('--account=polar'),
      submit('--partition=staff'),
      submit('--qos=nosuch'),
      submit('--qos=tiny --array=0-3'),
      submit('--qos=tiny --time=1:00:00 --array=0-0'),
      submit('--array=0-1000001'),
      submit('--array=5-2'),
      submit('--array=x'),
      submit('--array=0-3%0'),
      submit('--mem=100G'),
      submit('--cpus-per-task=99'),
      submit('--nodes=9'),
      submit('--gres=gpu:1'),
      submit('--constraint=fast'),
      submit('--time=soon'),
      submit('--nodelist=c9'),
      submit('--reservation=nosuch'),
      submit('--license=nosuch'),
      submit('--license=matlab:5'),
      submit('--dependency=afterok:99999'),
      submit('--nosuch'),
      submit('--chdir=/nosuch -o /dev/null'),
      submit(`--job-name="$(printf '%0300d' 0)" -o /dev/null`),
      'sbatch --parsable no-shebang',
      'sbatch --parsable empty',
      'sbatch --parsable big',
      'sbatch --parsable nosuch',
      'SLURM_CONF=/nosuch sbatch --parsable --wrap true',
      'SBATCH_PARTITION=nosuch sbatch --parsable --wrap true',
      'PATH=/nosuch; sbatch --parsable --wrap true',
    ],
  })
  await recorder.record('other-accepted', {
    about: [
      'Accepted although they cannot start: limits of partitions are not enforced here. Then what sbatch itself prints.',
    ],
    commands: [
      submit('--partition=closed -o /dev/null'),
      submit('--partition=short --time=1:00:00 -o /dev/null'),
      'sbatch -o /dev/null --wrap true',
      'sbatch -o /dev/null --array=0-1 --wrap true',
      'sbatch --parsable -o /dev/null --array=0-0 --wrap true',
      'sbatch --quiet -o /dev/null --wrap true',
      'sbatch --test-only --array=0-9 --wrap true',
      'sbatch --test-only --partition=nosuch --wrap true',
    ],
  })
  await recorder.record('status-unknown', {
    about: ['arrays 99999=3', 'The id of no job, given twice.'],
    commands: [squeue('99999')],
  })
  await recorder.record('other-unknown', {
    about: ['An id of no job, alone and beside one that is known; an id of another user; ids that are none.'],
    commands: [
      'squeue -h -j 99999',
      "squeue -h -j 99999,1 -o '%i|%T'",
      'squeue -h -j x',
      'squeue --me -h -n nosuch',
      'scontrol show job 99999',
      'sacct -n -p -j 99999 --format=JobID,State',
      'sacct -n -p -S now-30days --name=nosuch --format=JobID,JobName',
    ],
  })
  const ended = await sbatch('--array=0-1', 'true')
  const bobs = await site.login.ask("cd /scratch/bob; sbatch --parsable -o /dev/null --wrap 'sleep 600'", 'bob')
  await site.login.ask(`until sacct -nX -j ${ended} -o State | grep -q COMPLETED; do sleep 0.5; done; sleep 3`)
  await recorder.record('gone-scancel', {
    about: [
      'Of an id that never was; of tasks that ended; of a task that never was; twice; of a job of somebody else.',
    ],
    commands: [
      'scancel 99999',
      `scancel ${ended}`,
      `scancel ${ended}_0`,
      `scancel '${ended}_[0-1]'`,
      `scancel ${ended}_77`,
      'scancel 99999_5',
      `scancel ${bobs}`,
      'scancel x',
      `scancel -v ${ended}`,
    ],
  })
  await recorder.record('find-names', {
    about: ['name wrap'],
    commands: [
      "squeue --me -a -h -t all -n wrap -o '%F|%j|.'",
      'sacct -X -n -p -S now-2days --name=wrap --format=JobID,JobName',
    ],
  })
  await root('scancel -u alice; scancel -u bob')
}

/** Limits of the cluster itself, a controller that is away, and a site without accounts. */
export async function recordShippedRefusals({ recorder, site, alice, sbatch, untilState }: SlurmGround): Promise<void> {
  await recorder.record('refusal-sbatch', {
    about: ['EnforcePartLimits=ALL, MaxArraySize 1001.'],
    commands: [
      submit('--array=0-1001'),
      submit('--partition=closed'),
      submit('--partition=short --time=1:00:00'),
      submit('--partition=short,main --time=1:00:00 -o /dev/null'),
      submit('--account=nosuch -o /dev/null'),
      submit('--qos=nosuch -o /dev/null'),
    ],
  })
  await recorder.record('accounting-none', { about: ['No accounts are kept.'], commands: [sacct('1')] })
  await recorder.record('find-none', {
    about: ['name nosuch'],
    commands: [
      "squeue --me -a -h -t all -n nosuch -o '%F|%j|.'",
      'sacct -X -n -p -S now-2days --name=nosuch --format=JobID,JobName',
    ],
  })
  const forgotten = await sbatch('--array=0-2', 'true')
  await alice(`until ! squeue -h -j ${forgotten}; do sleep 0.5; done`)
  await recorder.record('status-forgotten', {
    about: [`arrays ${forgotten}=3`, 'All tasks ended more than MinJobAge ago.'],
    commands: [squeue(forgotten)],
  })
  const half = await sbatch('--array=0-9%2', 'test $SLURM_ARRAY_TASK_ID -gt 3 || exit 0; sleep 600')
  await alice(`until [ "$(squeue -h -t all -j ${half} -o %K | sort | head -n 1)" = 4 ]; do sleep 0.5; done`)
  await recorder.record('status-half-forgotten', {
    about: [`arrays ${half}=10`, '0 to 3 ended and are forgotten, 4 and 5 run.'],
    commands: [squeue(half)],
  })
  await untilState(half, 'RUNNING')
  const asked = [
    submit('--array=0-9'),
    squeue(half),
    `scancel ${half}`,
    'sinfo',
    'scontrol show config',
    'scontrol ping',
  ]
  // Nobody listens where this configuration looks for the controller.
  await alice('{ cat /etc/slurm/slurm.conf; echo SlurmctldPort=6999; } > refused.conf')
  const refused = 'SLURM_CONF=/scratch/alice/refused.conf'
  await recorder.record('status-controller-refuses', {
    about: [`arrays ${half}=10`, 'The controller is not running, its machine is.'],
    commands: [`${refused} ${squeue(half)}`],
  })
  await recorder.record('refusal-controller-refuses', {
    about: ['The controller is not running, its machine is.'],
    commands: asked.map((command) => `export ${refused}; ${command}`),
  })
  await site.controller.pause()
  await recorder.record('status-controller-silent', {
    about: [`arrays ${half}=10`, 'The controller does not answer.'],
    commands: [squeue(half)],
  })
  await recorder.record('refusal-controller-silent', {
    about: ['The controller does not answer.'],
    commands: asked.slice(0, 3),
  })
  await site.controller.unpause()
  await site.controller.kill()
  await recorder.record('status-controller-away', {
    about: [`arrays ${half}=10`, 'The machine of the controller is gone, and with it its name.'],
    commands: [squeue(half)],
  })
  await recorder.record('refusal-controller-away', {
    about: ['The machine of the controller is gone, and with it its name.'],
    commands: asked,
  })
  await site.controller.start()
  await site.login.ask('pkill munged 2> /dev/null || kill "$(cat /run/munge/munged.pid)"; sleep 1')
  await recorder.record('refusal-munge-away', {
    about: ['munged of the login machine was killed.'],
    commands: [submit('--array=0-9'), squeue(half), `scancel ${half}`],
  })
}
