import type { Given } from './job-form.ts'

const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/**
 * JSON whose numbers become texts, spelled as DuckDB spells them: digits as written, fractions at their shortest. All values of a job are
 * texts, and a row must mean the same whether it was read by SQL or here. Throws SyntaxError.
 */
export function parseJsonTexts(text: string): Given {
  JSON.parse(text)
  return JSON.parse(quoteNumbers(text)) as Given
}

/** Steps over texts by their ends: a regular expression that matches them needs more stack than there is for some megabytes. */
function quoteNumbers(json: string): string {
  let done = ''
  let kept = 0
  for (let at = 0; ; ) {
    const quote = json.indexOf('"', at)
    const to = quote < 0 ? json.length : quote
    if (hasDigit(json, at, to)) {
      done += json.slice(kept, at) + json.slice(at, to).replace(NUMBER, (number) => `"${spell(number)}"`)
      kept = to
    }
    if (quote < 0) return done + json.slice(kept)
    at = endOfText(json, quote)
  }
}

function hasDigit(json: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const sign = json.charCodeAt(at)
    if (sign >= 48 && sign <= 57) return true
  }
  return false
}

/** Behind the text that begins at the quote `from`; a quote behind an odd number of backslashes belongs to the text. */
function endOfText(json: string, from: number): number {
  for (let end = json.indexOf('"', from + 1); ; end = json.indexOf('"', end + 1)) {
    let before = end - 1
    while (json[before] === '\\') before--
    if ((end - before) % 2 === 1) return end + 1
  }
}

function spell(number: string): string {
  if (/^-?\d+$/.test(number)) return number
  const shortest = String(Number(number))
  return /^-?\d+$/.test(shortest) ? `${shortest}.0` : shortest.replace('e+', 'e')
}
