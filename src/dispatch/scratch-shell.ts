import { ConnectorError } from '../../connectors/connector.ts'
import { quote } from '../../connectors/quote.ts'
import type { Output, Transport } from '../../connectors/transport/transport.ts'

/** Runs a script where the scratch is there; other exits than 0 and `answers` are errors with what the site said. */
export type ScratchShell = (
  script: string,
  options: { readonly tried: string; readonly answers?: readonly number[] },
) => Promise<Output>

/** A file system that hangs must not hold everything else; `du` and `rm` of many files take their time. */
const TIMEOUT_MS = 900_000
/** Exit of a script that found no scratch directory at all. */
const NO_SCRATCH = 71

export const scratchShell =
  (transport: Transport, { scratch, site }: { scratch: string; site: string }): ScratchShell =>
  async (script, { tried, answers = [] }) => {
    const output = await transport.run(
      `LC_ALL=C; export LC_ALL\n[ -d ${quote(scratch)} ] || exit ${NO_SCRATCH}\n${script}`,
      { timeoutMs: TIMEOUT_MS },
    )
    const { exit, stderr } = output
    if (exit === 0 || answers.includes(exit)) return output
    if (exit === NO_SCRATCH) {
      throw new ConnectorError(
        'unreachable',
        `there is no directory ${scratch} at ${transport.where}`,
        `Correct \`scratch:\` of ${site} in sites.yaml; or the file system is away for now: wait and run again, nothing is lost.`,
      )
    }
    throw new ConnectorError(
      'refused',
      `${transport.where} could not ${tried}: ${lastLine(stderr) || `exit ${exit}`}`,
      `Look at \`scratch:\` of ${site} in sites.yaml: ${scratch} has to be writable for you and to have room.`,
    )
  }

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''
