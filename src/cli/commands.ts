import type { AnyCommand } from './command.ts'
import { add } from './commands/add.ts'
import { clean } from './commands/clean.ts'
import { completion } from './commands/completion.ts'
import { doctor } from './commands/doctor.ts'
import { fetch } from './commands/fetch.ts'
import { init } from './commands/init.ts'
import { jobs } from './commands/jobs.ts'
import { logs } from './commands/logs.ts'
import { plan } from './commands/plan.ts'
import { query } from './commands/query.ts'
import { relay } from './commands/relay.ts'
import { cancel, hold, release, remove, retry } from './commands/requests.ts'
import { results } from './commands/results.ts'
import { run } from './commands/run.ts'
import { show } from './commands/show.ts'
import { simulate } from './commands/simulate.ts'
import { sites } from './commands/sites.ts'
import { status } from './commands/status.ts'
import { tryOne } from './commands/try.ts'
import { watch } from './commands/watch.ts'

/** All verbs, in the order of help: the way of a campaign. */
export const commands: readonly AnyCommand[] = [
  init,
  add,
  remove,
  plan,
  simulate,
  run,
  tryOne,
  status,
  jobs,
  show,
  logs,
  retry,
  cancel,
  hold,
  release,
  results,
  fetch,
  query,
  sites,
  doctor,
  watch,
  relay,
  clean,
  completion,
]
