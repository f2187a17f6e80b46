import type { Terminal } from './terminal.ts'

/** Progress on stderr: lines drawn over themselves on a screen, a plain line now and then elsewhere. */
export interface Gauge {
  /** `lines` for a screen, `line` for elsewhere; without the second, nothing is said there. Cheap to call often. */
  show(lines: () => readonly string[], line?: () => string): void
  /** Takes what is drawn off the screen. */
  clear(): void
}

const REDRAW_MS = 200
const PLAIN_MS = 30_000

export function openGauge(terminal: Terminal, ticks: () => number = () => performance.now()): Gauge {
  let drawn = 0
  let last = Number.NEGATIVE_INFINITY
  let lastPlain = ticks()
  const erase = () => (drawn === 0 ? '' : `\u001b[${drawn}A\u001b[J`)
  return {
    show(lines, line) {
      const now = ticks()
      if (terminal.quiet || terminal.isAsking()) return
      if (terminal.isScreen) {
        if (now - last < REDRAW_MS) return
        last = now
        const shown = lines()
        terminal.note(`${erase()}${shown.map((text) => `${text}\n`).join('')}`)
        drawn = shown.length
      } else if (line && now - lastPlain >= PLAIN_MS) {
        lastPlain = now
        terminal.note(line())
      }
    },
    clear() {
      terminal.note(erase())
      drawn = 0
    },
  }
}
