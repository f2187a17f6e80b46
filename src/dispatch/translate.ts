import { ConnectorError } from '../../connectors/connector.ts'
import { type Code, FloeError } from '../model/errors.ts'

const CODE_OF: Readonly<Record<ConnectorError['kind'], Code>> = {
  unreachable: 'SITE_UNREACHABLE',
  wait: 'SITE_FULL',
  refused: 'SUBMIT_REFUSED',
  never: 'SUBMIT_REFUSED',
  unreadable: 'SUBMIT_UNREADABLE',
  'unknown state': 'STATE_UNKNOWN',
}

/** What the systems of all kinds of disks say when nothing more can be written. */
const FULL = /no space (is )?left( on (the )?device)?|(disk )?quota (is )?exceeded|ENOSPC|EDQUOT/i

/** What has to fit into a scratch that has room. */
export const ROOM_BYTES = 2 ** 20

/** What is said of a disk that is full; undefined: nothing of that kind. */
export const fullIn = (said: string): string | undefined => FULL.exec(said)?.[0]

/** `where` is the scratch directory, with the site where it has a name. */
export const scratchFull = (where: string, said: string): FloeError =>
  new FloeError('DISK_FULL', `The scratch directory ${where} is full: ${said}.`, {
    hint: 'Make room there (`floe clean` helps) and run again; nothing is lost, and no job is blamed.',
  })

/** Does something at a site; what connectors and transports throw becomes floe's own error. `tried` says what, after "Could not". */
export async function translated<T>(tried: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error
    const message = `Could not ${tried}: ${error.message}`
    if (error.kind === 'refused' && FULL.test(error.message)) {
      throw new FloeError('DISK_FULL', message, {
        hint: 'Free some space there (`floe clean`) and run again; what was carried stays.',
        cause: error,
      })
    }
    throw new FloeError(CODE_OF[error.kind], message, { hint: error.hint, cause: error, ...detailed(error) })
  }
}

/**
 * The same for a submission: the message is what the scheduler said, in its own last words; the command and the whole answer stand
 * beside it. `more` adds to a hint what is known of the site.
 */
export async function submitted<T>(
  { site, name }: { site: string; name: string },
  act: () => Promise<T>,
  more: (hint: string) => Promise<string>,
): Promise<T> {
  try {
    return await translated(`submit ${name} at ${site}`, act)
  } catch (error) {
    const cause = error instanceof FloeError ? error.cause : undefined
    if (!(cause instanceof ConnectorError) || !cause.command || (cause.kind !== 'refused' && cause.kind !== 'never'))
      throw error
    throw new FloeError('SUBMIT_REFUSED', `${site} refused the array: ${lastWords(cause.command.said)}`, {
      hint: await more(cause.hint),
      cause,
      ...detailed(cause),
    })
  }
}

/** The scheduler itself answered a submission with no: nothing was submitted, and the same again would be refused again. */
export function isRefusal(error: unknown): boolean {
  if (!(error instanceof FloeError) || error.code !== 'SUBMIT_REFUSED') return false
  return error.cause instanceof ConnectorError && error.cause.command !== undefined
}

function detailed({ command }: ConnectorError): { details?: { tried: string; answered: string } } {
  if (!command) return {}
  const said = command.said === '' ? '' : `\n${command.said}`
  return { details: { tried: command.tried, answered: `exit ${command.exit}${said}` } }
}

/** `sbatch: error: Batch job submission failed: Invalid …` without who says it; Grid Engine takes its leave with a line of its own. */
function lastWords(said: string): string {
  const lines = said.split('\n').filter((line) => line.trim() !== '' && line.trim() !== 'Exiting.')
  return (lines.at(-1) ?? 'it said nothing').replace(/^(?:(?:\w+|Batch job submission failed): +)+/, '')
}
