/** Numbers as people read them; raw numbers go to JSON and CSV. */

export const formatCount = (count: number | bigint): string => count.toLocaleString('en-US')

/** `1 job`, `1,056 jobs`. */
export const formatCounted = (count: number, one: string, many = `${one}s`): string =>
  `${formatCount(count)} ${count === 1 ? one : many}`

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'] as const

/** Three digits and a unit: `0 B`, `41.0 MB`, `1.42 TB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  // 999.5 would be rounded to `1000 kB`.
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? String(Math.round(value)) : threeDigits(value)} ${BYTE_UNITS[unit]}`
}

const threeDigits = (value: number): string => value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2)

/** The two largest units: `0.2 s`, `41 s`, `2 min 5 s`, `9 d 4 h`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds < 0.0995 && seconds > 0 ? seconds.toPrecision(1) : seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return twoUnits(whole, 60, 'min', 's')
  const minutes = Math.round(whole / 60)
  if (minutes < 1440) return twoUnits(minutes, 60, 'h', 'min')
  return twoUnits(Math.round(minutes / 60), 24, 'd', 'h')
}

function twoUnits(amount: number, size: number, large: string, small: string): string {
  const rest = amount % size
  return `${formatCount(Math.floor(amount / size))} ${large}${rest === 0 ? '' : ` ${rest} ${small}`}`
}

/** `0 %`, `0.3 %`, `24 %`, `100 %`; never 100 while something is left, never 0 when there is something. */
export function formatShare(part: number, whole: number): string {
  if (whole === 0) return '–'
  const percent = (100 * part) / whole
  if (part > 0 && percent < 0.1) return '< 0.1 %'
  if (part < whole && percent > 99.9) return '> 99.9 %'
  return `${percent < 10 || percent > 99 ? Number(percent.toFixed(1)) : Math.round(percent)} %`
}

/** `4.1 ×`. */
export const formatFactor = (factor: number): string =>
  `${factor >= 99.5 ? formatCount(Math.round(factor)) : factor.toFixed(1)} ×`

/** `384 jobs/s`, `9.8 jobs/s`, `12 jobs/min`. */
export function formatRate(count: number, seconds: number, one = 'job'): string {
  if (seconds <= 0) return `– ${one}s/s`
  const rate = count / seconds
  if (rate >= 0.95 || rate === 0) return `${rate >= 99.5 ? formatCount(Math.round(rate)) : rate.toFixed(1)} ${one}s/s`
  return rate * 60 >= 0.95 ? `${(rate * 60).toFixed(1)} ${one}s/min` : `${(rate * 3600).toFixed(1)} ${one}s/h`
}
