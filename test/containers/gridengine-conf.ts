import type { LoginOptions } from './login.ts'

export interface GridEngineOptions {
  /** Compute nodes c1, c2, …; 2 by default. */
  readonly nodes?: number
  /** Settings of `qconf -sconf`, such as max_aj_tasks. */
  readonly config?: Readonly<Record<string, string>>
  /** Settings of `qconf -ssconf`. */
  readonly scheduler?: Readonly<Record<string, string>>
  /** Settings of both queues, as in `qconf -sq`. */
  readonly queue?: Readonly<Record<string, string>>
  readonly login?: LoginOptions
}

/** What differs from what Grid Engine ships: looks each second instead of each 15, and does not mind how busy this machine is. */
export function gridEngineSettings({ config, scheduler, queue }: GridEngineOptions): Readonly<Record<string, string>> {
  const lines = (settings: Readonly<Record<string, string>>): string =>
    Object.entries(settings)
      .map(([key, value]) => `${key} ${value}\n`)
      .join('')
  return {
    '/etc/site/global': lines({
      load_report_time: '00:00:02',
      max_unheard: '00:00:15',
      reporting_params:
        'accounting=true reporting=false flush_time=00:00:01 accounting_flush_time=00:00:00 joblog=false sharelog=00:00:00',
      ...config,
    }),
    '/etc/site/scheduler': lines({
      schedule_interval: '0:0:1',
      flush_submit_sec: '1',
      flush_finish_sec: '1',
      job_load_adjustments: 'NONE',
      ...scheduler,
    }),
    '/etc/site/queue': lines({
      hostlist: '@nodes',
      slots: '16',
      pe_list: 'smp',
      load_thresholds: 'NONE',
      ...queue,
    }),
  }
}
