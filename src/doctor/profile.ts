import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { DoctorReport } from './report.ts'

/** Beside sites.yaml: what `floe doctor` found last, a file a site, for its owner only. Losing it loses nothing. */
export const profileFile = (sitesFile: string, site: string): string =>
  join(dirname(sitesFile), 'profiles', `${site}.json`)

const VERSION = 1

/** Undefined: there is none that this version can read. */
export function readProfile(path: string): DoctorReport | undefined {
  try {
    const { v, ...report } = JSON.parse(readFileSync(path, 'utf8')) as DoctorReport & { v: number }
    return v === VERSION && typeof report.measured === 'object' ? report : undefined
  } catch {
    return undefined
  }
}

export function writeProfile(path: string, report: DoctorReport): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const aside = `${path}.${process.pid}`
  try {
    writeFileSync(aside, `${JSON.stringify({ v: VERSION, ...report }, null, 2)}\n`, { mode: 0o600 })
    renameSync(aside, path)
  } finally {
    rmSync(aside, { force: true })
  }
}
