import { posix } from 'node:path'
import { ConnectorError } from '../../connectors/connector.ts'
import { quote } from '../../connectors/quote.ts'
import type { SitePaths } from '../model/campaign.ts'
import type { ScratchShell } from './scratch-shell.ts'

/*
 * What a site allows a user, all campaigns of that user share: each says in a file of its own below `reserved/`, beside `campaigns/`, how many tasks it
 * has open there, whether it wants more, and when it said so by the site's clock. It takes more under a lock, so that they never have more together.
 */

export interface ReserveAsked {
  /** Tasks of this campaign that are open, sent or about to be. */
  readonly open: number
  /** More that it would send. */
  readonly wanted: number
  /** Open tasks that the site allows the user. */
  readonly max: number
  /** False: nothing is taken now; the others are told how things stand. */
  readonly takes: boolean
}

export interface Reserved {
  readonly granted: number
  /** Open tasks of other campaigns, and how many campaigns those are. */
  readonly others: number
  readonly campaigns: number
}

/** What a campaign has said holds for so long: its tasks may wait while nobody runs it. */
const KEPT_SEC = 86_400
/** One that wants more, and has not said so for so long, leaves its share to others. */
const WANTS_SEC = 900
const LOCK_SEC = 20

/**
 * Takes as many tasks as are free. While others want some too, each gets its share; a handful is left until there are enough for a larger array.
 * Where the scratch cannot be written, or has no locks, a campaign is believed to be alone.
 */
export async function reserveTasks(run: ScratchShell, { campaign }: SitePaths, asked: ReserveAsked): Promise<Reserved> {
  const { open, wanted, max, takes } = asked
  const folder = posix.join(campaign, '..', '..', 'reserved')
  const { stdout } = await run(
    `umask 077
     folder=${quote(folder)} own=${quote(posix.basename(campaign))}
     open=${open} wanted=${wanted} max=${Math.floor(max)}
     others=0 campaigns=0 eager=0
     mkdir -p "$folder" 2>/dev/null
     if { true >>"$folder/.lock"; } 2>/dev/null; then
       exec 8>>"$folder/.lock"
       flock -w ${LOCK_SEC} 8 2>/dev/null
       [ $? != 1 ] || { echo 'reserved 0 0 0'; exit 0; }
     fi
     now=$(date +%s)
     for file in "$folder"/*; do
       [ -f "$file" ] && [ "$file" != "$folder/$own" ] || continue
       theirs= wants= at=
       IFS=' ' read -r theirs wants at <"$file"
       case $theirs:$wants:$at in *[!0-9:]* | :* | *::* | *:) continue ;; esac
       age=$((now - at))
       # A clock that was wrong would keep it for ever.
       [ "$age" -lt ${KEPT_SEC} ] && [ "$age" -gt -${KEPT_SEC} ] || { rm -f "$file"; continue; }
       [ "$theirs" = 0 ] || { others=$((others + theirs)); campaigns=$((campaigns + 1)); }
       [ "$wants" = 0 ] || [ "$age" -gt ${WANTS_SEC} ] || eager=$((eager + 1))
     done
     room=$((max - others - open))
     if [ "$eager" -gt 0 ]; then
       share=$(((max + eager) / (eager + 1) - open))
       [ "$room" -le "$share" ] || room=$share
     fi
     granted=0
     if ${takes ? '[ "$room" -gt 0 ]' : 'false'}; then
       if [ "$wanted" -le "$room" ]; then granted=$wanted
       elif [ "$room" -gt $((open / 3)) ]; then granted=$room
       fi
     fi
     wants=0
     [ "$granted" -ge "$wanted" ] || wants=1
     if [ "$((open + granted + wants))" = 0 ]; then rm -f "$folder/$own"
     else
       printf '%s %s %s\\n' "$((open + granted))" "$wants" "$now" >"$folder/.new.$own" && mv -f "$folder/.new.$own" "$folder/$own"
     fi 2>/dev/null
     echo "reserved $granted $others $campaigns"
     exit 0`,
    { tried: 'see how many tasks other campaigns have' },
  )
  const [, granted, others, campaigns] = /^reserved (\d+) (\d+) (\d+)$/m.exec(stdout) ?? []
  if (granted === undefined)
    throw new ConnectorError(
      'unreachable',
      `the shell ended before it had said what is free: ${stdout.trim()}`,
      'floe asks again after a while.',
    )
  return { granted: Number(granted), others: Number(others), campaigns: Number(campaigns) }
}
