import { describe, inject } from 'vitest'

/** `describe` for tests that need containers; left out where setup.ts found no engine, and has said so. */
export const describeSite = describe.runIf(inject('noEngine') === '')
