import { posix } from 'node:path'
import { quote } from '../../connectors/quote.ts'
import type { SitePaths } from '../model/campaign.ts'
import type { ScratchShell } from './scratch-shell.ts'
import type { CachedContent, SiteUsage } from './site.ts'

/*
 * What can be freed of a scratch. Each array says in its file `needs` which contents of the cache it reads, a name a line, before these are
 * looked for; when it is over the file is called `needed`. So content that no `needs` names is read by no task, of whatever campaign.
 */

/** As `makeArray` of run/ names them. What is removed is named, never made of an empty word. */
const ARRAY_ID = /^a\d{6,}$/
const CACHED_NAME = /^(?:[0-9a-f]{64}(?:\.leaving)*|\.[\w.-]+\.part)$/
/** Minutes after which nobody goes on with a transfer that was cut. */
const CUT_MIN = 1440

/** Lines of sh: prints `used NAME SECONDS CAMPAIGN/ARRAY…` for each content that arrays of any campaign name, with those that need it now. */
const usesOf = (campaigns: string): string => `
  if cd ${quote(campaigns)} 2>/dev/null; then
    for file in */arrays/a*/needs */arrays/a*/needed; do
      [ -f "$file" ] || continue
      stat -c 'uses %Y %n' "$file" && cat "$file"
    done | awk '
      $1 == "uses" { time = $2; by = ""; if ($3 ~ /needs$/) { split($3, path, "/"); by = " " path[1] "/" path[3] }; next }
      { if (time > last[$1]) last[$1] = time; needed[$1] = needed[$1] by }
      END { for (name in last) print "used", name, last[name] needed[name] }'
  fi`

export async function usageOf(run: ScratchShell, { arrays, cache, campaign }: SitePaths): Promise<SiteUsage> {
  const { stdout } = await run(
    `if cd ${quote(arrays)} 2>/dev/null; then
       for id in a*; do
         [ -d "$id" ] && printf 'array %s %s %s\\n' "$id" "$(du -sk "$id" | cut -f 1)" "$(stat -c %Y "$id")"
       done
     fi
     if cd ${quote(cache)} 2>/dev/null; then
       find . -mindepth 1 -maxdepth 1 ! -name '*.whole' '(' ! -name '.*' -o -mmin +${CUT_MIN} ')' -printf 'cached %f %T@\\n'
       du -ak --max-depth=1 . | sed -n 's|^\\([0-9]*\\)\\t[.]/|size \\1 |p'
     fi
     if cd ${quote(posix.dirname(campaign))} 2>/dev/null; then
       for one in *; do
         [ "$one" != ${quote(posix.basename(campaign))} ] && [ -d "$one/arrays" ] &&
           printf 'other %s %s\\n' "$(du -sk "$one/arrays" | cut -f 1)" "$one"
       done
     fi
     ${usesOf(posix.dirname(campaign))}
     :`,
    { tried: 'look how full the scratch is' },
  )
  const arraysFound = new Map<string, { bytes: number; usedAtSec: number }>()
  const others = new Map<string, number>()
  const cached = new Map<string, CachedContent>()
  for (const line of stdout.split('\n')) {
    const [word, ...rest] = line.split(' ')
    const [first = '', second = '', third = ''] = rest
    if (word === 'array') arraysFound.set(first, { bytes: Number(second) * 1024, usedAtSec: Number(third) })
    else if (word === 'other') others.set(rest.slice(1).join(' '), Number(first) * 1024)
    else if (word === 'cached' && CACHED_NAME.test(first))
      cached.set(first, { name: first, bytes: 0, usedAtSec: Number(second), neededBy: [] })
    else if (word === 'size' && cached.has(second))
      cached.set(second, { ...cached.get(second)!, bytes: Number(first) * 1024 })
    else if (word === 'used' && cached.has(first)) {
      const content = cached.get(first)!
      const usedAtSec = Math.max(content.usedAtSec, Number(second))
      cached.set(first, { ...content, usedAtSec, neededBy: [...new Set(rest.slice(2))].map(readerOf) })
    }
  }
  return { arrays: arraysFound, others, cached: [...cached.values()] }
}

function readerOf(word: string): CachedContent['neededBy'][number] {
  const [campaign = '', array = ''] = word.split('/')
  return { campaign, array }
}

/**
 * Contents go aside first; one that an array has come to need meanwhile goes back, and its name is answered. Who says what it needs before it
 * looks, as arrays do, either finds it gone and carries it again, or keeps it.
 */
export async function removeFrom(
  run: ScratchShell,
  { arrays, cache, campaign }: SitePaths,
  { ids, cached }: { ids: readonly string[]; cached: readonly string[] },
): Promise<ReadonlySet<string>> {
  const folders = ids.filter((id) => ARRAY_ID.test(id)).map((id) => posix.join(arrays, id))
  const names = cached.filter((name) => CACHED_NAME.test(name))
  if (folders.length + names.length === 0) return new Set()
  const { stdout } = await run(
    `gone=0
     erase() {
       [ -e "$1" ] || return 0
       # What was carried is read-only, folders too.
       chmod -R u+w "$1" 2>/dev/null
       # A task that just ended may still write its last words.
       rm -rf "$1" 2>/dev/null || { sleep 1; rm -rf "$1"; } || gone=1
     }
     for folder in ${folders.map(quote).join(' ')}; do erase "$folder"; done
     if cd ${quote(cache)} 2>/dev/null; then
       # mv puts what it moves into a folder of that name.
       for name in ${names.join(' ')}; do [ -e "$name.leaving" ] || mv "$name" "$name.leaving" 2>/dev/null; done
       needed=" $( { ${usesOf(posix.dirname(campaign))}
       } | sed -n 's/^used \\([^ ]*\\) [^ ]* [^ ].*$/\\1/p' | tr '\\n' ' ') "
       for name in ${names.join(' ')}; do
         case $needed in
           *" $name "*)
             [ -e "$name" ] || mv "$name.leaving" "$name" 2>/dev/null
             # Carried again meanwhile, even in this moment.
             [ -e "$name" ] && { erase "$name.leaving"; erase "$name/$name.leaving"; printf '%s\\n' "$name"; } ;;
           *) erase "$name.leaving"; rm -f "$name.whole" ;;
         esac
       done
     fi
     exit $gone`,
    { tried: 'remove what is not needed any more' },
  )
  return new Set(stdout.split('\n').filter(Boolean))
}
