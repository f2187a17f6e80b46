import type { PlanReport } from '../../floe.ts'
import { formatBytes, formatCount, formatCounted, formatFactor, formatSeconds } from '../../model/format.ts'
import { renderTable, visible } from './table.ts'

export function renderPlan(plan: PlanReport): string {
  if (plan.jobs === 0) return `Nothing waits for a plan.\n${missing(plan)}`
  const each = plan.jobs / plan.batches
  const about = plan.seconds === null ? '' : ` (≈ ${formatSeconds(plan.seconds / plan.batches)} each)`
  const size = plan.batches === 1 ? '' : ` of ~${formatCount(Math.round(each))}`
  const title = `${formatCounted(plan.jobs, 'job')} → ${formatCounted(plan.batches, 'batch', 'batches')}${size}${about} → ${formatCounted(plan.arrays, 'array')}\n`
  const table = renderTable(
    [
      { title: '', max: 30 },
      { title: 'files', align: 'right' },
      { title: 'bytes', align: 'right' },
      { title: '', max: 90 },
    ],
    [
      ['at best', formatCount(plan.files), formatBytes(plan.bytes_lower_bound), 'each input once'],
      ['to the nodes', formatCount(plan.files_to_nodes), formatBytes(plan.bytes_to_nodes), compared(plan)],
      ['ungrouped', formatCount(plan.files_naive), formatBytes(plan.bytes_naive), 'each job on its own'],
    ],
    { indent: '  ' },
  )
  return [title, '\n', table, reads(plan), work(plan), scouts(plan), missing(plan)].join('')
}

function compared(plan: PlanReport): string {
  if (plan.bytes_lower_bound === 0) return ''
  const order = `catalog order would read ${formatBytes(plan.bytes_catalog_order)}`
  return `${formatFactor(plan.bytes_to_nodes / plan.bytes_lower_bound)} best; ${order}`
}

function reads({ bytes_local: local, bytes_rack: rack = 0, bytes_remote: remote = 0 }: PlanReport): string {
  if (local === undefined || local + rack + remote === 0) return ''
  const share = Math.floor((100 * local) / (local + rack + remote))
  const rest = `${formatBytes(rack)} in their racks, ${formatBytes(remote)} elsewhere`
  return `\n  from data nodes: ${formatBytes(local)} (${share} %) on the nodes of the batches, ${rest}\n`
}

function work({ site, seconds, shares = [] }: PlanReport): string {
  if (shares.length > 0) return `\n${shares.map(share).join('')}`
  return seconds === null ? '' : `\n  ${site}: about ${formatSeconds(seconds)} of work\n`
}

function scouts({ scouts: first }: PlanReport): string {
  if (!first) return ''
  const rest = `${formatCounted(first.rest, 'job')} like ${first.jobs === 1 ? 'it' : 'them'}`
  const who =
    first.jobs === 0
      ? `${rest} wait for those under way`
      : `${formatCounted(first.jobs, 'job')} ${first.jobs === 1 ? 'goes' : 'go'} first, each alone, as nothing is known of ${rest}`
  return `\n  ${who}: the batches above are cut anew after what they take\n`
}

function share({ site, jobs, batches, arrays, seconds }: NonNullable<PlanReport['shares']>[number]): string {
  const about = seconds === null ? '' : `, about ${formatSeconds(seconds)} of work`
  const parts = [formatCounted(jobs, 'job'), formatCounted(batches, 'batch', 'batches'), formatCounted(arrays, 'array')]
  return `  ${visible(site)}: ${parts.join(', ')}${about}\n`
}

function missing({ missing_inputs, missing_example: example }: PlanReport): string {
  if (example === null) return ''
  const some = `${visible(example.url)} of ${visible(example.job_id)}`
  return `\n  missing: ${formatCounted(missing_inputs, 'input')} (floe jobs --where "missing"), e.g. ${some}\n`
}
