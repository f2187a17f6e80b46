import about from '../../package.json' with { type: 'json' }
import type { Campaign } from '../floe.ts'
import { FloeError } from '../model/errors.ts'
import type { AnyCommand, Setting } from './command.ts'
import { commands } from './commands.ts'
import { type Parsed, parseLine } from './parse.ts'
import { openTerminal, quietOnClosedPipe, type Terminal, toJson } from './terminal.ts'
import { errorJson, renderError } from './text/error.ts'

async function main(line: readonly string[]): Promise<number> {
  quietOnClosedPipe()
  // Errors of the line itself have to know how they are to be said.
  const asked = (flag: string) => line.slice(0, line.includes('--') ? line.indexOf('--') : undefined).includes(flag)
  let terminal = openTerminal({ json: asked('--json'), quiet: asked('--quiet'), color: !asked('--no-color') })
  try {
    const parsed = await parseLine(line, {
      commands,
      columns: terminal.columns,
      version: about.version,
      sites: siteNames,
    })
    if ('output' in parsed) {
      await terminal.out(parsed.output)
      return 0
    }
    terminal = openTerminal(parsed)
    return await follow(parsed, terminal)
  } catch (thrown) {
    const error = asFloeError(thrown)
    terminal.error(terminal.json ? `${toJson(errorJson(error))}\n` : renderError(error, terminal.errorStyle))
    if (asked('--debug')) terminal.error(`${stackOf(thrown)}\n`)
    return error.exit
  }
}

/** A sites.yaml that is wrong has no names to complete with. */
async function siteNames(): Promise<readonly string[]> {
  const { listSites } = await import('../floe.ts')
  const { sites } = await listSites().catch(() => ({ sites: [] }))
  return sites.map(({ name }) => name)
}

/** Runs one command; what it opened is closed in any case. */
async function follow(parsed: Parsed, terminal: Terminal): Promise<number> {
  let opened: Campaign | undefined
  const setting: Setting = {
    terminal,
    named: parsed.campaign,
    signal: heedInterrupts(parsed.command, terminal),
    async campaign() {
      const { openCampaign } = await import('../floe.ts')
      opened ??= await openCampaign(parsed.campaign, terminal.ask && { ask: terminal.ask })
      return opened
    },
  }
  try {
    return await parsed.command.run(parsed.args as never, setting)
  } finally {
    await opened?.close()
  }
}

/** The first Ctrl-C asks an interruptible command to stop; a second one, or the first of any other command, ends the process. */
function heedInterrupts(command: AnyCommand, terminal: Terminal): AbortSignal {
  const interrupted = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (command.interruptible && !interrupted.signal.aborted) return interrupted.abort()
      const error = new FloeError('INTERRUPTED', 'Interrupted.', {
        hint: 'What was published before is whole; run the command again.',
      })
      terminal.error(terminal.json ? `${toJson(errorJson(error))}\n` : `\n${renderError(error, terminal.errorStyle)}`)
      // process.exit would wait for the statement that runs in a thread of DuckDB. Shells report 128 and the number of the signal: 130.
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    })
  }
  return interrupted.signal
}

function asFloeError(thrown: unknown): FloeError {
  if (thrown instanceof FloeError) return thrown
  const { code, message, syscall, path } = thrown as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT') return new FloeError('DISK_FULL', message, { cause: thrown })
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new FloeError('NOT_WRITABLE', message, { cause: thrown })
  }
  // Node 20 says so of `mkdir` with `recursive` on a file system that is read-only.
  if (code === 'ENOENT' && syscall === 'mkdir' && path !== undefined) {
    return new FloeError('NOT_WRITABLE', `Could not make the directory ${path}: it cannot be written there.`, {
      cause: thrown,
    })
  }
  return new FloeError('BUG', message ?? String(thrown), { cause: thrown })
}

function stackOf(thrown: unknown): string {
  const lines: string[] = []
  for (let error = thrown; error instanceof Error; error = error.cause) lines.push(error.stack ?? error.message)
  return lines.join('\ncaused by ')
}

process.exitCode = await main(process.argv.slice(2))
