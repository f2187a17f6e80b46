/** What one job asks for. `null` memory and walltime: no limit asked. */
export interface Resources {
  readonly cpus: number
  readonly memoryBytes: number | null
  readonly walltimeSec: number | null
  readonly gpus: number
  readonly nodes: number
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  m: 1e6,
  mb: 1e6,
  g: 1e9,
  gb: 1e9,
  t: 1e12,
  tb: 1e12,
  ki: 2 ** 10,
  kib: 2 ** 10,
  mi: 2 ** 20,
  mib: 2 ** 20,
  gi: 2 ** 30,
  gib: 2 ** 30,
  ti: 2 ** 40,
  tib: 2 ** 40,
}

/** Bytes of `2GB`, `512 MiB`, `1e9`; `undefined` when the text is no size. Powers of 1000, with an `i` powers of 1024. */
export function parseBytes(text: string | number): number | undefined {
  if (typeof text === 'number') return Number.isSafeInteger(text) && text >= 0 ? text : undefined
  const match = /^\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([a-z]*)\s*$/i.exec(text)
  const unit = match ? BYTE_UNITS[match[2]!.toLowerCase()] : undefined
  return match && unit !== undefined ? Math.round(Number(match[1]) * unit) : undefined
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86_400 }

/** Seconds of `10m`, `1h30m`, `90`, `01:30:00`, `2-12:00:00`; `undefined` when the text is no duration. */
export function parseSeconds(text: string | number): number | undefined {
  if (typeof text === 'number') return Number.isFinite(text) && text >= 0 ? text : undefined
  const clock = /^\s*(?:(\d+)-)?(\d+):(\d{1,2})(?::(\d{1,2}))?\s*$/.exec(text)
  if (clock) {
    const [, days = '0', first, second, third] = clock
    const parts =
      third === undefined ? [0, Number(first), Number(second)] : [Number(first), Number(second), Number(third)]
    return Number(days) * 86_400 + parts[0]! * 3600 + parts[1]! * 60 + parts[2]!
  }
  if (/^\s*\d+(?:\.\d+)?\s*$/.test(text)) return Number(text)
  if (!/^\s*(?:\d+(?:\.\d+)?\s*(?:s|sec|m|min|h|d)\s*)+$/i.test(text)) return undefined
  let sum = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)\s*(sec|min|s|m|h|d)/gi)) {
    sum += Number(amount) * SECONDS[unit!.toLowerCase()]!
  }
  return sum
}
