import { ConnectorError } from '../connector.ts'
import type { RunOptions } from './transport.ts'

/** One signal for the caller's abort, the end of the transport and the time-out, whose reason is what the call rejects with. Call `done` when it is over. */
export function deadline(
  options: RunOptions,
  what: string,
  closed: AbortSignal,
): { signal: AbortSignal; done(): void } {
  const control = new AbortController()
  const sources = [closed, ...(options.signal ? [options.signal] : [])]
  const onAbort = (): void => control.abort(sources.find(({ aborted }) => aborted)!.reason)
  if (sources.some(({ aborted }) => aborted)) onAbort()
  for (const source of sources) source.addEventListener('abort', onAbort, { once: true })
  const { timeoutMs } = options
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          const message = `${what} took longer than ${timeoutMs / 1000} s and was ended`
          control.abort(
            new ConnectorError('unreachable', message, 'The site may be slow at the moment: try again later.'),
          )
        }, timeoutMs)
  return {
    signal: control.signal,
    done() {
      clearTimeout(timer)
      for (const source of sources) source.removeEventListener('abort', onAbort)
    },
  }
}

/** Resolves when `signal` aborts. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
