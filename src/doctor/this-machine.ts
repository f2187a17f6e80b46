import { availableParallelism, freemem, release, totalmem, type } from 'node:os'
import { formatBytes, formatCounted } from '../model/format.ts'
import type { Clock } from '../ports/clock.ts'
import { type DoctorReport, Ledger } from './report.ts'

/** What there is to know of the site `local`. Asks nobody and makes nothing. */
export function examineThisMachine(clock: Clock): DoctorReport {
  const ledger = new Ledger()
  const cores = formatCounted(availableParallelism(), 'core')
  const memory = `${formatBytes(totalmem())} of memory, ${formatBytes(freemem())} of it free`
  ledger.add('ok', 'arrays', `${cores}, ${memory}`, '`slots:` and `resources:` of floe.yaml keep jobs below that')
  ledger.add('ok', 'node', `Node ${process.versions.node} runs floe and its jobs`, null)
  ledger.add('note', 'scratch', 'scratch is a directory of each campaign', 'floe links outputs into place there')
  ledger.measured.node_version = process.versions.node
  return {
    ...{ site: 'local', connector: 'local', where: 'this machine', version: `${type()} ${release()}` },
    ...{ checked_at: new Date(clock.now()).toISOString(), usable: true, interval_sec: 1 },
    ...{ findings: ledger.findings, measured: ledger.measured, limits: null },
  }
}
