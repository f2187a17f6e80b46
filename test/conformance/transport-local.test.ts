import { tmpdir } from 'node:os'
import { localTransport } from '../../connectors/transport/local.ts'
import { transportConformance } from './transport.ts'

transportConformance('local', { open: async () => localTransport({ outputMaxBytes: 16 << 20 }), scratch: tmpdir() })
