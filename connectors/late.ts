import type { Connector } from './connector.ts'

/** A connector that is made at its first call; what fails is tried again at the next. `waiting` and the name are known before. */
export function lateConnector(known: Pick<Connector, 'name' | 'waiting'>, make: () => Promise<Connector>): Connector {
  let made: Promise<Connector> | undefined
  const open = (): Promise<Connector> => {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  }
  return {
    name: known.name,
    waiting: known.waiting,
    submit: async (...given) => (await open()).submit(...given),
    status: async (...given) => (await open()).status(...given),
    cancel: async (...given) => (await open()).cancel(...given),
    endings: async (...given) => (await open()).endings(...given),
    siteLimits: async () => (await open()).siteLimits(),
  }
}
