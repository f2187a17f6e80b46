import type { TryReport } from '../../floe.ts'
import { formatBytes, formatSeconds } from '../../model/format.ts'
import { renderTable, visible } from './table.ts'

export function renderTry({ job_id, ended, sandbox, outputs }: TryReport): string {
  const memory = ended.memory_max_bytes === null ? '' : `, ${formatBytes(ended.memory_max_bytes)} of memory`
  const title = `${visible(job_id)} ${ended.verdict} after ${formatSeconds(ended.wall_sec)}${memory}: ${visible(ended.rule)}\n`
  const rows = [
    ...(sandbox === null ? [] : [['sandbox', sandbox]]),
    ...(ended.class === 'app'
      ? [['hint', 'it begins with the files named under `input` and `files`, and no others']]
      : []),
    ...ended.outputs.map(({ path, size_bytes }) => ['output', `${outputs}/${path} (${formatBytes(size_bytes)})`]),
  ]
  return title + renderTable([{ title: '' }, { title: '', max: 4096 }], rows, { titles: false, indent: '  ' })
}
