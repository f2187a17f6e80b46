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

/** Does something at a site; what connectors and transports throw becomes floe's own error. `tried` says what, after "Could not". */
export async function translated<T>(tried: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error
    throw new FloeError(CODE_OF[error.kind], `Could not ${tried}: ${error.message}`, { hint: error.hint, cause: error })
  }
}
