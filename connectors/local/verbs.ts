/** Commands of the bundled scheduler, with what follows the directory of the queue and the cores that may be used (0: all). */
export const VERBS = {
  submit: 'NAME DIRECTORY COUNT CPUS, with the job script on stdin; prints the id',
  status: 'ID…',
  cancel: 'ID [RANGES]',
  find: 'NAME',
  limits: '',
  schedule: '; runs the tasks, until there are none',
} as const
