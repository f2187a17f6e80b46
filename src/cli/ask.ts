import { closeSync, openSync, writeSync } from 'node:fs'
import { ReadStream } from 'node:tty'
import type { Ask } from '../floe.ts'

const [INTERRUPT, END, ERASE, BACKSPACE, CLEAR] = ['\u0003', '\u0004', '\u007f', '\b', '\u0015']

/**
 * Asks on the terminal of the process, whatever its standard streams are: secrets come from a person and never from a pipe. Undefined: there
 * is no terminal. One question at a time.
 */
export function openAsk(path = '/dev/tty'): (Ask & { readonly isOpen: () => boolean }) | undefined {
  try {
    closeSync(openSync(path, 'r+'))
  } catch {
    return undefined
  }
  let before: Promise<unknown> = Promise.resolve()
  let open = 0
  const ask: Ask = (prompt, { echo }) => {
    open++
    const answer = before.then(() => question(path, prompt, echo)).finally(() => open--)
    before = answer.catch(() => undefined)
    return answer
  }
  return Object.assign(ask, { isOpen: () => open > 0 })
}

function question(path: string, prompt: string, echo: boolean): Promise<string> {
  const out = openSync(path, 'w')
  const show = (text: string): void => void writeSync(out, text)
  const input = new ReadStream(openSync(path, 'r'))
  input.setEncoding('utf8')
  // Also where it is shown: so the terminal is never left without echo by another mode of ours.
  input.setRawMode(true)
  // What a site asks is shown, not obeyed.
  show(prompt.replace(/[^\P{Cc}\n]/gu, '?'))
  return new Promise<string>((resolve, reject) => {
    const typed: string[] = []
    const close = (): void => {
      show('\n')
      input.setRawMode(false)
      input.destroy()
      closeSync(out)
    }
    input.on('error', (cause) => reject(new Error('the terminal was closed', { cause })))
    input.on('data', (chunk: string) => {
      for (const sign of chunk) {
        if (sign === INTERRUPT || (sign === END && typed.length === 0)) {
          close()
          const refuse = (): void => reject(new Error('no answer was given'))
          if (sign === END) return refuse()
          // After those who listen for it already: what ends by it does not end by a refused answer.
          process.once('SIGINT', refuse)
          process.kill(process.pid, 'SIGINT')
          return
        }
        if (sign === '\r' || sign === '\n') {
          close()
          return resolve(typed.join(''))
        }
        if (sign === ERASE || sign === BACKSPACE) {
          if (typed.pop() !== undefined && echo) show('\b \b')
        } else if (sign === CLEAR) {
          if (echo) show('\b \b'.repeat(typed.length))
          typed.length = 0
        } else if (sign >= ' ') {
          typed.push(sign)
          if (echo) show(sign)
        }
      }
    })
  })
}
