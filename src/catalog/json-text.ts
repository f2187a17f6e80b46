import type { Given } from './job-form.ts'

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/**
 * JSON whose numbers become texts, spelled as DuckDB spells them: digits as written, fractions at their shortest. All values of a job are
 * texts, and a row must mean the same whether it was read by SQL or here. Throws SyntaxError.
 */
export function parseJsonTexts(text: string): Given {
  JSON.parse(text)
  return JSON.parse(text.replace(TOKEN, (token) => (token.startsWith('"') ? token : `"${spell(token)}"`))) as Given
}

function spell(number: string): string {
  if (/^-?\d+$/.test(number)) return number
  const shortest = String(Number(number))
  return /^-?\d+$/.test(shortest) ? `${shortest}.0` : shortest.replace('e+', 'e')
}
