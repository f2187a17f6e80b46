/* The fault menu: what may go wrong, and the states of a task in which it can. */

export const STATES = ['staged', 'queued', 'running', 'ended'] as const
/** `staged`: in a directory, not submitted; `ended`: its verdicts are in no table yet. */
export type State = (typeof STATES)[number]

/** How often each happens where it can, and the states of tasks that it can meet. */
export const MENU = {
  'submit refused': { share: 0.08, meets: ['staged'] },
  'submit: no room': { share: 0.1, meets: ['staged'] },
  'submit unheard': { share: 0.08, meets: ['staged'] },
  'reply lost': { share: 0.12, meets: ['staged'] },
  'status failing': { share: 0.08, meets: ['queued', 'running', 'ended'] },
  'status blank': { share: 0.05, meets: ['queued', 'running', 'ended'] },
  'status forgetting': { share: 0.08, meets: ['queued', 'running', 'ended'] },
  'status lying': { share: 0.05, meets: ['queued', 'running', 'ended'] },
  'id reused': { share: 0.3, meets: ['staged'] },
  'killed: memory': { share: 0.07, meets: ['running'] },
  'killed: walltime': { share: 0.07, meets: ['running'] },
  'killed: node': { share: 0.07, meets: ['running'] },
  'killed: preempted': { share: 0.07, meets: ['running'] },
  vanished: { share: 0.12, meets: ['queued', 'running'] },
  'record cut short': { share: 0.06, meets: ['running'] },
  'record doubled': { share: 0.05, meets: ['running'] },
  'record late': { share: 0.1, meets: ['ended'] },
  'scratch purged': { share: 0.02, meets: ['queued', 'running', 'ended'] },
  'clock jumping': { share: 0.04, meets: ['queued', 'running', 'ended'] },
  'store slow': { share: 0.1, meets: ['staged', 'queued', 'running', 'ended'] },
  'commit failing': { share: 0.06, meets: ['staged', 'queued', 'running', 'ended'] },
  'commit unheard': { share: 0.06, meets: ['staged', 'queued', 'running', 'ended'] },
  'disk full': { share: 0.06, meets: ['staged', 'queued', 'running', 'ended'] },
  'coordinator asleep': { share: 0.02, meets: ['staged', 'queued', 'running', 'ended'] },
  'coordinator killed': { share: 0.012, meets: ['staged', 'queued', 'running', 'ended'] },
} as const satisfies Readonly<Record<string, { readonly share: number; readonly meets: readonly State[] }>>

export type Fault = keyof typeof MENU

export interface Cell {
  readonly fault: Fault
  readonly state: State
}

const CELLS: readonly Cell[] = Object.entries(MENU).flatMap(([fault, { meets }]) =>
  meets.map((state) => ({ fault: fault as Fault, state })),
)

/** `commit failing × queued`. */
export const nameOf = ({ fault, state }: Cell): string => `${fault} × ${state}`
export const cellNamed = (name: string): Cell | undefined => CELLS.find((cell) => nameOf(cell) === name)

/** What may happen to work that waits at one site too long. */
export const MOVES = [
  'cut batches',
  'array, none had begun',
  'array, some had begun',
  'array, seal unheard',
  'array, coordinator killed at its seal',
  'array, coordinator killed at its cancel',
] as const
export type Move = (typeof MOVES)[number]

/** How often each fault met a task in each state. */
export class Coverage {
  readonly #met = new Map<string, number>()
  readonly #moved = new Map<Move, number>()

  noteMove(move: Move): void {
    this.#moved.set(move, (this.#moved.get(move) ?? 0) + 1)
  }

  get neverMoved(): readonly Move[] {
    return MOVES.filter((move) => !this.#moved.has(move))
  }

  get moves(): string {
    return MOVES.map((move) => `moved: ${move.padEnd(42)}${String(this.#moved.get(move) ?? 0).padStart(5)}\n`).join('')
  }

  note(fault: Fault, state: State): void {
    const cell = `${fault} ${state}`
    this.#met.set(cell, (this.#met.get(cell) ?? 0) + 1)
  }

  /** Cells that can be reached and were not. */
  get empty(): readonly Cell[] {
    return CELLS.filter(({ fault, state }) => !this.#met.has(`${fault} ${state}`))
  }

  get table(): string {
    const row = (name: string, cells: readonly string[]) =>
      `${name.padEnd(20)}${cells.map((cell) => cell.padStart(9)).join('')}\n`
    const rows = Object.entries(MENU).map(([fault, { meets }]) =>
      row(
        fault,
        STATES.map((state) =>
          (meets as readonly State[]).includes(state) ? String(this.#met.get(`${fault} ${state}`) ?? 0) : '·',
        ),
      ),
    )
    return [row('fault × state', STATES), ...rows].join('')
  }
}
