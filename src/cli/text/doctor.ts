import type { DoctorReport, Finding, FindingLevel } from '../../floe.ts'
import { dateOf } from './sites.ts'
import type { Style } from './style.ts'
import { padEnd, textWidth, visible } from './table.ts'

/** What is longer has what floe does about it in the next line. */
const FOUND_MAX = 64
const TITLE_MAX = 96

/** A line for the site, then one or two a finding: what was found, and what floe does about it. */
export function renderDoctor(report: DoctorReport, style: Style): string {
  const short = report.findings.filter(({ found, floe }) => floe !== null && textWidth(visible(found)) <= FOUND_MAX)
  const width = short.reduce((widest, { found }) => Math.max(widest, textWidth(visible(found))), 0)
  return [
    titleOf(report),
    ...report.findings.map((finding) => lineOf(finding, width, style)),
    report.usable ? '' : `${style.red(`${visible(report.site)} cannot be used as it is.`)}\n`,
  ].join('')
}

function titleOf({ site, version, connector, where, measured, checked_at }: DoctorReport): string {
  const way = where === 'this machine' ? 'on this machine' : `by ssh ${where}`
  const login = measured.login === null ? '' : ` (${measured.login}, host key known)`
  const title = `${site}   ${version ?? connector} ${way}${login}`
  return `${padEnd(visible(title), TITLE_MAX)}  checked ${dateOf(checked_at)}\n`
}

function lineOf({ level, found, floe }: Finding, width: number, style: Style): string {
  const head = `  ${paint(level, style)(level.padEnd(4))}  `
  const words = visible(found)
  if (floe === null) return `${head}${words}\n`
  if (textWidth(words) <= width) return `${head}${padEnd(words, width)}  ${style.dim(visible(floe))}\n`
  return `${head}${words}\n${' '.repeat(8)}${style.dim(`→ ${visible(floe)}`)}\n`
}

function paint(level: FindingLevel, style: Style): (text: string) => string {
  if (level === 'ok') return style.green
  if (level === 'fail') return style.red
  return level === 'warn' ? style.yellow : (text) => text
}
