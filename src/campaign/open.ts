import type { Live } from '../catalog/catalog.ts'
import type { Config } from '../config/config.ts'
import type { CampaignPaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import type { Tables, TablesOptions } from '../ports/tables/tables.ts'
import type { Leases, RunContext } from '../run/run.ts'
import type { AddReport, FetchReport, RequestReport, SimulationReport, StatusReport } from './answers.ts'
import { type CampaignPlace, checkPlace } from './identity.ts'
import type { Means } from './means.ts'
import { toAtWork, toJobReport, toPlanReport, toProgress, toRunReport, withDecided } from './reports.ts'
import { columnNamed, converted, JOB_COLUMNS, jsonRows } from './rows.ts'
import type { CopyWishes } from './simulate.ts'
import type {
  AddOptions,
  Campaign,
  JobReport,
  JobsOptions,
  PlanOptions,
  RowStream,
  RunOptions,
  Selection,
  SimulateOptions,
} from './verbs.ts'
import { leasesOf, onDisk, pathsHere, pathsWith, refuseForeign, tablesOptions } from './whereabouts.ts'

type Action = RequestReport['action']

/** Composes the rooms; each is loaded by the verb that needs it, so that `status` does not pay for `run`. */
export class OpenedCampaign implements Campaign {
  readonly root: string
  readonly id: string
  /** On this machine. */
  readonly #paths: CampaignPaths
  readonly #place: CampaignPlace
  readonly #means: Means
  #config: Promise<Config> | undefined
  #tables: Promise<Tables> | undefined
  /** Opened without floe.yaml, for verbs that only look. */
  #light: Promise<Tables> | undefined
  readonly #sites = new Map<string, Promise<RunContext['site']>>()

  constructor(place: CampaignPlace, means: Means, config?: Config) {
    this.#config = config && Promise.resolve({ ...config, outputs: `${place.root}/outputs` })
    this.root = place.root
    this.id = place.file.id
    this.#paths = pathsHere(place)
    this.#place = place
    this.#means = means
  }

  async add(files: readonly string[], options: AddOptions = {}): Promise<AddReport> {
    const { addJobFiles } = await import('../catalog/catalog.ts')
    const { jobs, outputs } = await this.#configured()
    const {
      firstRejects,
      rejectsFile,
      files: read,
      ...counts
    } = await addJobFiles(await this.#writable(), files, {
      campaign: this.#paths.root,
      outputs: pathsWith(this.#place, outputs).outputs,
      cache: this.#paths.cache,
      defaults: jobs,
      clock: this.#means.clock,
      ...options,
    })
    const shown = read.map(({ elapsedSec, ...file }) => ({ ...file, elapsed_sec: elapsedSec }))
    return { ...counts, files: shown, rejects_file: rejectsFile ?? null, rejects: firstRejects }
  }

  async plan({ site, ...wishes }: Parameters<Campaign['plan']>[0] = {}): ReturnType<Campaign['plan']> {
    const context = await this.#toRun(site)
    if (isRehearsed(context) && this.#place.file.rehearsal_of === undefined)
      return this.#planAside(namesOf(context), wishes)
    const { planCampaign } = await import('../run/run.ts')
    return toPlanReport(await planCampaign(context, wishes), namesOf(context))
  }

  async run({ site, onProgress, ...options }: RunOptions = {}): ReturnType<Campaign['run']> {
    const context = await this.#toRun(site)
    const isRehearsal = this.#place.file.rehearsal_of !== undefined
    if (isRehearsed(context) && !isRehearsal)
      return this.#rehearse(namesOf(context), { ...options, ...(onProgress && { onProgress }) })
    if (!isRehearsed(context)) this.#refuseIfRehearsal('Run the campaign itself, or a simulated site here.')
    await refuseForeign(this.#place, context)
    const { runCampaign } = await import('../run/run.ts')
    const tell = onProgress && {
      onProgress: (progress: Parameters<typeof toProgress>[0]) => onProgress(toProgress(progress)),
    }
    return toRunReport(await runCampaign(context, { ...options, ...tell }))
  }

  /** What a simulated site tells must never be taken for results: it is told to a copy. */
  async #rehearse(site: readonly string[], options: Omit<RunOptions, 'site'>): ReturnType<Campaign['run']> {
    const { rehearsalOf } = await import('./rehearse.ts')
    const root = rehearsalOf(this.#paths.cache)
    return this.#inCopy(root, async (copy) => ({ ...(await copy.run({ ...options, site })), rehearsal: root }))
  }

  /** The plan of the campaign is for a site that runs it. */
  async #planAside(site: readonly string[], wishes: Omit<PlanOptions, 'site'>): ReturnType<Campaign['plan']> {
    const { planCopyOf } = await import('./rehearse.ts')
    return this.#inCopy(planCopyOf(this.#paths.cache), (copy) => copy.plan({ ...wishes, site }), { keep: false })
  }

  async simulate(options: SimulateOptions = {}): Promise<SimulationReport> {
    const { simulateIn, simulationOf } = await import('./simulate.ts')
    const root = simulationOf(this.#paths.cache)
    return simulateIn(options, {
      ...{ campaign: this, config: await this.#configured(), means: this.#means },
      inCopy: (wishes, act) => this.#inCopy(root, act, { ...wishes, keep: false }),
    })
  }

  async #inCopy<T>(root: string, act: (copy: OpenedCampaign) => Promise<T>, wishes: CopyWishes = {}): Promise<T> {
    const { inRehearsal } = await import('./rehearse.ts')
    const { means = this.#means, config, ...rest } = wishes
    await this.#configured()
    const ours = { ...this.#means, place: this.#place, root, ...rest }
    return inRehearsal(ours, (place) => new OpenedCampaign(place, means, config), act)
  }

  #refuseIfRehearsal(hint: string): void {
    const { rehearsal_of: original } = this.#place.file
    if (original !== undefined)
      throw new FloeError('USAGE', `This is a rehearsal of ${original}: nothing is run here.`, { hint })
  }

  async try(jobId: string, options: Parameters<Campaign['try']>[1]): ReturnType<Campaign['try']> {
    this.#refuseIfRehearsal('Try the job in the campaign itself.')
    const context = await this.#toRun('local')
    const { tryJob } = await import('../run/run.ts')
    const { job, ...report } = await tryJob(context, jobId, options)
    return { job_id: job, ...report }
  }

  async status(): Promise<StatusReport> {
    const { countStates } = await import('../catalog/catalog.ts')
    const { liveStatus, readAtWork } = await import('../run/run.ts')
    const tables = await this.#readable()
    const { cache } = this.#paths
    // First what the records say: what is published in between is then in the tables, and counts once.
    const live = await liveStatus(tables, { ...this.#paths, campaignId: this.id })
    const counts = await countStates(tables, { running: live.running })
    const runner = (await (await this.#leases()).holder()) ?? null
    const said = runner && readAtWork(cache, runner.pid)
    return { ...withDecided(counts, live.decided), runner, at_work: said && toAtWork(said, this.#means.clock.now()) }
  }

  jobs({ columns, ...options }: JobsOptions = {}): RowStream {
    const wanted = columns?.map((name) => columnNamed(name)) ?? JOB_COLUMNS
    return { columns: wanted, rows: this.#jobRows(wanted, options), close: async () => {} }
  }

  async *#jobRows(columns: typeof JOB_COLUMNS, options: Omit<JobsOptions, 'columns'>): RowStream['rows'] {
    const { listJobs } = await import('../catalog/catalog.ts')
    const convert = jsonRows(columns)
    const names = columns.map(({ name }) => name)
    const tables = await this.#readable()
    const live = await this.#live(tables)
    for await (const rows of listJobs(tables, { ...options, live, columns: names })) yield rows.map(convert)
  }

  /** What record files of live arrays say: tables may be a minute old while a run works. */
  async #live(tables: Tables): Promise<Live> {
    const { liveJobs, liveStatus } = await import('../run/run.ts')
    const said = await liveStatus(tables, { ...this.#paths, campaignId: this.id })
    // Who only looks is not kept from it by a floe.yaml that is being edited.
    const policy = () =>
      this.#configured().then(
        (config) => config.policy,
        () => null,
      )
    return liveJobs(tables, said, policy)
  }

  async show(jobId: string): Promise<JobReport> {
    const { askSites, listEvidence, showJob } = await import('../run/run.ts')
    const context = await this.#context()
    const found = await showJob(context, jobId)
    const words = await askSites(context, found)
    return { ...toJobReport(found, listEvidence(found, words, context.clock.now() * 1000)), ...words }
  }

  async *logs(jobId: string, options: Parameters<Campaign['logs']>[1] = {}): ReturnType<Campaign['logs']> {
    const { jobLogs } = await import('../run/run.ts')
    yield* jobLogs(await this.#context(), jobId, options)
  }

  retry(selection: Selection, why?: string): Promise<RequestReport> {
    return this.#request('retry', selection, why)
  }
  cancel(selection: Selection, why?: string): Promise<RequestReport> {
    return this.#request('cancel', selection, why)
  }
  hold(selection: Selection, why?: string): Promise<RequestReport> {
    return this.#request('hold', selection, why)
  }
  release(selection: Selection, why?: string): Promise<RequestReport> {
    return this.#request('release', selection, why)
  }
  remove(selection: Selection, why?: string): Promise<RequestReport> {
    return this.#request('remove', selection, why)
  }

  async #request(action: Action, selection: Selection, why: string | undefined): Promise<RequestReport> {
    if (!selection.all && !selection.jobs?.length && selection.state === undefined && selection.where === undefined) {
      throw new FloeError('USAGE', `Nothing says which jobs to ${action}.`, {
        hint: 'Name jobs, or select them by --state, --where or --all.',
      })
    }
    const { request } = await import('../catalog/catalog.ts')
    const { liveSites } = await import('../run/run.ts')
    const { user, clock } = this.#means
    const asked = { action, selection, who: user, why: why ?? null }
    const tables = await this.#writable()
    const live = await this.#live(tables)
    const done = await request(tables, asked, { nowMs: clock.now(), uuid: clock.uuid(), live })
    const { requestId, asked: jobs, underWay, skipped } = done
    const isEnding = underWay > 0 && (action === 'cancel' || action === 'remove')
    const isUntold = isEnding && (await (await this.#leases()).holder()) === undefined
    const untold = isUntold ? await liveSites(tables) : []
    return { action, request_id: requestId, jobs, under_way: underWay, untold, skipped }
  }

  async results(options: Parameters<Campaign['results']>[0]): ReturnType<Campaign['results']> {
    const { exportResults } = await import('../results/results.ts')
    return exportResults(await this.#writable(), options)
  }

  async *resultBytes(format: Parameters<Campaign['resultBytes']>[0] = 'csv'): ReturnType<Campaign['resultBytes']> {
    const { streamResults } = await import('../results/results.ts')
    yield* streamResults(await this.#writable(), { format })
  }

  async fetch(selection: Selection, options: Parameters<Campaign['fetch']>[1] = {}): Promise<FetchReport> {
    const { fetchOutputs } = await import('../run/run.ts')
    return fetchOutputs(await this.#context(), { ...options, selection })
  }

  async query(sql: string): Promise<RowStream> {
    const { queryReadOnly } = await import('../catalog/catalog.ts')
    const { mergedView } = await import('../results/results.ts')
    const tables = await this.#writable()
    const answer = await queryReadOnly(tables, sql, {
      live: await this.#live(tables),
      prepare: (inside) => mergedView(inside),
    })
    return { columns: answer.columns, rows: converted(answer), close: () => answer.close() }
  }

  async clean(wishes: Parameters<Campaign['clean']>[0] = {}): ReturnType<Campaign['clean']> {
    const context = await this.#toRun('local')
    const { cleanCampaign } = await import('../run/run.ts')
    const report = await cleanCampaign(context, wishes)
    if (wishes.site !== undefined) return report
    let { freed_bytes } = report
    const { stores, clock } = this.#means
    for (const url of [this.#place.store?.url, context.settings.outputsUrl])
      if (url) freed_bytes += (await stores.sweep(url, clock.now())).bytes
    return { ...report, freed_bytes }
  }

  async close(): Promise<void> {
    const sites = [...this.#sites.values()]
    for (const opened of [this.#tables, this.#light, ...sites]) await (await opened?.catch(() => undefined))?.close()
    this.#sites.clear()
    this.#tables = undefined
    this.#light = undefined
  }

  #configured(): Promise<Config> {
    const { rehearsal_of: original } = this.#place.file
    this.#config ??= import('../config/config.ts').then(({ openConfig, openConfigIn }) => {
      const { store } = this.#place
      if (store) return openConfigIn(store.files, { path: store.path, url: store.url })
      if (original === undefined) return openConfig(this.root)
      // Of one that lies elsewhere floe.yaml came along.
      const config = openConfig(original.includes('://') ? this.root : original)
      return { ...config, outputs: `${this.root}/outputs` }
    })
    return this.#config
  }

  #writable(): Promise<Tables> {
    this.#tables ??= this.#configured().then(async ({ memoryBytes, threads, group }) =>
      this.#means.openTables({
        ...(await this.#ground(group)),
        memoryBytes,
        group,
        ...(threads !== null && { threads }),
      }),
    )
    return this.#tables
  }

  #readable(): Promise<Tables> {
    if (this.#tables) return this.#tables
    this.#light ??= this.#ground().then((ground) => this.#means.openTables(ground))
    return this.#light
  }

  #ground(group = false): Promise<TablesOptions> {
    return tablesOptions(this.#place, this.#means.clock, group)
  }

  #leases(): Promise<Leases> {
    return leasesOf(this.#place, this.#means.clock)
  }

  /** For verbs that work on sites; refuses a campaign that was copied or moved. */
  async #toRun(wanted: string | readonly string[] | undefined): Promise<RunContext> {
    await checkPlace(this.#place)
    const names = [...new Set(typeof wanted === 'string' ? [wanted] : wanted)]
    const [first, ...others] = names.length > 0 ? names : [(await this.#configured()).site]
    const context = await this.#context(first)
    if (others.length === 0) return context
    const beside: RunContext['site'][] = []
    for (const name of others) beside.push(await this.#site(name))
    const simulated = beside.filter(({ isSimulated }) => isSimulated !== context.site.isSimulated)
    if (simulated.length === 0) return { ...context, beside }
    throw new FloeError('USAGE', `Of ${names.join(', ')} some are simulated and some are not.`, {
      hint: 'Rehearse on simulated sites, or run on others; both at once cannot be.',
    })
  }

  async #context(siteName = 'local'): Promise<RunContext> {
    const config = await this.#configured()
    const { clock, user, runner, openTables, openBus, stores } = this.#means
    const cache = this.#paths.cache
    return {
      paths: pathsWith(this.#place, config.outputs),
      leases: await leasesOf(this.#place, clock, config.group),
      campaignId: this.id,
      tables: await this.#writable(),
      clock,
      user,
      settings: {
        jobsPerBatch: config.batch.jobs,
        batchSeconds: config.batch.seconds,
        batchBytesMax: config.batch.bytes,
        scouts: config.scouts,
        policy: config.policy,
        stopWhenFailed: config.stopWhenFailed,
        reuse: config.reuse,
        digest: config.digest,
        sandboxesMax: config.sandboxesMax,
        ...{ roots: config.roots, outputsUrl: config.outputsUrl },
      },
      openOther: (root) => openTables({ root: onDisk(root), cache, clock }),
      site: await this.#site(siteName),
      openSite: (name) => this.#site(name),
      ...{ openBus, stores, runner },
    }
  }

  async #site(name: string): Promise<RunContext['site']> {
    const { slots, roots, outputs } = await this.#configured()
    const paths = pathsWith(this.#place, outputs)
    const ground = { campaignId: this.id, paths, roots, slots: slots ?? this.#means.cores }
    const opened = this.#sites.get(name) ?? this.#means.openSite(name, ground)
    this.#sites.set(name, opened)
    return opened
  }
}

const namesOf = ({ site, beside = [] }: RunContext): string[] => [site, ...beside].map(({ name }) => name)

/** All of its sites are simulated, or none is. */
const isRehearsed = ({ site }: RunContext): boolean => site.isSimulated
