import { appendFileSync, writeFileSync } from 'node:fs'

/**
 * For vitest: appends each file and test that begins or ends to $FLOE_TOLD, one JSON a line, so that a run that is ended from outside leaves
 * what it did, and what it was doing.
 */
export default class Reporter {
  constructor() {
    this.path = process.env.FLOE_TOLD
    writeFileSync(this.path, '')
  }

  tell(file, more) {
    appendFileSync(this.path, `${JSON.stringify({ file, ...more })}\n`)
  }

  onTestModuleStart({ moduleId }) {
    this.tell(moduleId, { state: 'began' })
  }

  onTestCaseReady({ module, fullName: name, id }) {
    this.tell(module.moduleId, { name, id, state: 'began' })
  }

  onTestCaseResult(test) {
    const { module, fullName: name, id } = test
    const { state, errors } = test.result()
    this.tell(module.moduleId, { name, id, state, ...why(errors), ...took(test) })
  }

  /** Hooks that fail leave the tests of their suite out. */
  onTestSuiteResult(suite) {
    const { module, fullName: name, id } = suite
    if (suite.errors().length > 0) this.tell(module.moduleId, { name, id, state: 'failed', ...why(suite.errors()) })
  }

  /** A file that cannot be loaded has errors of its own. */
  onTestModuleEnd(module) {
    this.tell(module.moduleId, { state: stateOf(module.errors()), ...why(module.errors()), ...took(module) })
  }

  onTestRunEnd(_modules, errors) {
    this.tell('the run itself', { state: stateOf(errors), ...why(errors) })
  }
}

const stateOf = (errors) => (errors.length > 0 ? 'failed' : 'ended')
const took = (what) => ({ ms: Math.round(what.diagnostic()?.duration ?? 0) })

/** The first lines of each error tell enough. */
function why(errors = []) {
  if (errors.length === 0) return {}
  return { why: errors.map((error) => (error.stack ?? error.message).split('\n').slice(0, 12).join('\n')).join('\n') }
}
