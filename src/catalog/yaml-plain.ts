import type { Given } from './job-form.ts'

/*
 * The plain part of YAML that nearly all job files are written in: block maps and lists by indentation, keys of word characters, scalars on one
 * line, plain or in quotes without escapes, and flow lists and maps of such scalars. It gives exactly what a YAML parser gives, texts as written; for
 * anything else it gives `undefined`, and the parser is asked. Fifteen times faster than a full parser.
 */

interface Line {
  readonly indent: number
  readonly text: string
}

interface Cursor {
  readonly lines: readonly Line[]
  at: number
}

/** Thrown inside only. */
const NOT_PLAIN = new Error('not plain')

/** The value of lines of a block that are all indented; undefined: not of the plain part. */
export function parsePlain(lines: readonly string[]): Given | undefined {
  try {
    const cursor: Cursor = { lines: linesOf(lines), at: 0 }
    if (cursor.lines.length === 0) return null
    const value = block(cursor, cursor.lines[0]!.indent)
    return cursor.at === cursor.lines.length ? value : undefined
  } catch (error) {
    if (error === NOT_PLAIN) return undefined
    throw error
  }
}

const ODD_BLANK = /[^\S ]|\u0085/

function linesOf(lines: readonly string[]): Line[] {
  const found: Line[] = []
  for (const line of lines) {
    let indent = 0
    while (line.charCodeAt(indent) === 32) indent++
    if (indent === line.length || line.charCodeAt(indent) === 35) continue
    let end = line.length
    while (line.charCodeAt(end - 1) === 32) end--
    const text = line.slice(indent, end)
    // Tabs, and blanks that JavaScript trims and YAML keeps, are for the parser.
    if (ODD_BLANK.test(text)) throw NOT_PLAIN
    found.push({ indent, text })
  }
  return found
}

function block(cursor: Cursor, indent: number): Given {
  return cursor.lines[cursor.at]!.text.startsWith('- ') ? sequence(cursor, indent) : mapping(cursor, indent)
}

function sequence(cursor: Cursor, indent: number): Given {
  const list: Given[] = []
  for (
    let line = cursor.lines[cursor.at];
    line?.indent === indent && line.text.startsWith('- ');
    line = cursor.lines[cursor.at]
  ) {
    const text = line.text.slice(2)
    // A map that begins behind the dash, and all that is nested deeper, is for the parser.
    if (text.startsWith(' ') || text.startsWith('- ')) throw NOT_PLAIN
    list.push(scalar(text))
    cursor.at++
  }
  const next = cursor.lines[cursor.at]
  if (next && next.indent > indent) throw NOT_PLAIN
  return list
}

const KEY = /^([A-Za-z_][\w.-]*):(?: (.*))?$/

function mapping(cursor: Cursor, indent: number): Given {
  const map: Record<string, Given> = Object.create(null)
  for (let line = cursor.lines[cursor.at]; line?.indent === indent; line = cursor.lines[cursor.at]) {
    const match = KEY.exec(line.text)
    if (!match) throw NOT_PLAIN
    const key = match[1]!
    const text = match[2]?.trimStart()
    // A key twice is an error that the parser words.
    if (key in map || key === 'null' || key === 'true' || key === 'false') throw NOT_PLAIN
    cursor.at++
    const next = cursor.lines[cursor.at]
    if (text !== undefined && text !== '') {
      map[key] = scalar(text)
      if (next && next.indent > indent) throw NOT_PLAIN
    } else if (next && next.indent > indent) map[key] = block(cursor, next.indent)
    else if (next && next.indent === indent && next.text.startsWith('- ')) map[key] = sequence(cursor, indent)
    else map[key] = null
  }
  const next = cursor.lines[cursor.at]
  if (next && next.indent > indent) throw NOT_PLAIN
  return map
}

/** A plain scalar cannot begin with an indicator, nor hold `: ` or ` #`. */
const PLAIN = /^[A-Za-z0-9_./$~+(\\^=;<][^#:]*$/
const CAREFUL = /^(?![-?:,[\]{}#&*!|>'"%@`\s])(?:[^#:]|(?<=\S)#|:(?=\S))+$/
const DOUBLE = /^"([^"\\]*)"$/
const SINGLE = /^'([^']*)'$/
const IS_NULL = /^(?:~|null|Null|NULL)$/

function scalar(text: string): Given {
  const first = text.charCodeAt(0)
  if (first === 91) return flowList(text)
  if (first === 123) return flowMap(text)
  if (first === 34) return DOUBLE.exec(text)?.[1] ?? fail()
  if (first === 39) return SINGLE.exec(text)?.[1] ?? fail()
  if (!PLAIN.test(text) && !(CAREFUL.test(text) && !text.endsWith(':'))) throw NOT_PLAIN
  return IS_NULL.test(text) ? null : text
}

const fail = (): never => {
  throw NOT_PLAIN
}

/** In flow, brackets and commas end a scalar. */
const FLOW_PLAIN = /^[A-Za-z0-9_./$~+(\\^=;<-][^#:,[\]{}"'?]*$/
const PIECES = /"[^"\\]*"|'[^']*'|[^,"']+/g

function flowPieces(inner: string): string[] {
  if (inner.trim() === '') return []
  const pieces = inner.match(PIECES) ?? []
  // Joined again they are the text, or something stood between that is for the parser.
  if (pieces.join(',') !== inner) throw NOT_PLAIN
  return pieces.map((piece) => piece.trim())
}

function flowScalar(text: string): Given {
  const quoted = DOUBLE.exec(text)?.[1] ?? SINGLE.exec(text)?.[1]
  if (quoted !== undefined) return quoted
  if (!FLOW_PLAIN.test(text) || text === '-' || text.startsWith('- ')) throw NOT_PLAIN
  return IS_NULL.test(text) ? null : text
}

/** `[a, "{input:1}", --month]`; a leading quote may follow a blank, nothing else may be beside it. */
function flowList(text: string): Given {
  if (!text.endsWith(']')) throw NOT_PLAIN
  const inner = text.slice(1, -1)
  return splitFlow(inner).map(flowScalar)
}

const PAIR = /^([A-Za-z_][\w.-]*): +(\S.*)$/

function flowMap(text: string): Given {
  if (!text.endsWith('}')) throw NOT_PLAIN
  const map: Record<string, Given> = Object.create(null)
  for (const piece of splitFlow(text.slice(1, -1))) {
    const match = PAIR.exec(piece)
    if (!match || match[1]! in map) throw NOT_PLAIN
    map[match[1]!] = flowScalar(match[2]!)
  }
  return map
}

/** Pieces between commas outside of quotes. */
function splitFlow(inner: string): string[] {
  if (!inner.includes('"') && !inner.includes("'")) return flowPieces(inner)
  const pieces: string[] = []
  let from = 0
  let quote = ''
  for (let at = 0; at <= inner.length; at++) {
    const char = inner[at]
    if (quote !== '') {
      if (char === '\\' && quote === '"') throw NOT_PLAIN
      if (char === quote) quote = ''
    } else if (char === '"' || char === "'") quote = char
    else if (char === ',' || char === undefined) {
      pieces.push(inner.slice(from, at).trim())
      from = at + 1
    }
  }
  if (quote !== '' || pieces.some((piece) => piece === '')) throw NOT_PLAIN
  return pieces
}
