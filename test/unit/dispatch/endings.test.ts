import { expect, test } from 'vitest'
import { ConnectorError } from '../../../connectors/connector.ts'
import { endingsOf } from '../../../src/dispatch/dispatch.ts'
import { scriptedConnector } from '../../fakes/scripted-connector.ts'

test.each(['unreachable', 'refused', 'unreadable', 'unknown state'] as const)(
  'accounting that is %s explains nothing and stops nothing',
  async (kind) => {
    const endings = () => Promise.reject(new ConnectorError(kind, 'said so', 'Look.'))
    expect(await endingsOf({ ...scriptedConnector(), endings }, ['7'])).toBeUndefined()
  },
)

test('a mistake of ours is one all the same', async () => {
  const endings = () => Promise.reject(new TypeError('a mistake'))
  await expect(endingsOf({ ...scriptedConnector(), endings }, ['7'])).rejects.toThrow('a mistake')
})
