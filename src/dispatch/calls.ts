import { type Connector, TooEarly } from '../../connectors/connector.ts'

/** What a scheduler was asked, each in one round trip. */
export interface Calls {
  submit: number
  status: number
  accounting: number
  /** To cancel tasks, and to keep them from nodes. */
  orders: number
  limits: number
}

/** The same connector, and what it is asked from now on. */
export function counted(connector: Connector): { readonly connector: Connector; readonly calls: Readonly<Calls> } {
  const calls: Calls = { submit: 0, status: 0, accounting: 0, orders: 0, limits: 0 }
  const { avoid } = connector
  return {
    calls,
    connector: {
      name: connector.name,
      waiting: (reason) => connector.waiting(reason),
      submit: (...given) => {
        calls.submit++
        return connector.submit(...given)
      },
      async status(...given) {
        calls.status++
        try {
          return await connector.status(...given)
        } catch (error) {
          if (error instanceof TooEarly) calls.status--
          throw error
        }
      },
      endings: (...given) => {
        calls.accounting++
        return connector.endings(...given)
      },
      cancel: (...given) => {
        calls.orders++
        return connector.cancel(...given)
      },
      ...(avoid && {
        avoid: (...given: Parameters<typeof avoid>) => {
          calls.orders++
          return avoid(...given)
        },
      }),
      siteLimits: () => {
        calls.limits++
        return connector.siteLimits()
      },
    },
  }
}
