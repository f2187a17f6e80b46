import { readFile } from 'node:fs/promises'
import { inflateRawSync } from 'node:zlib'

/*
 * An XLSX file is a ZIP archive (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3) of XML. A cell with a formula is
 * `<c r="B2"><f>A2*2</f><v>14</v></c>`, where `<v>` is the value that a spreadsheet program found when it last saved; a script that writes the
 * formula has none to give, or writes 0 and asks for `fullCalcOnLoad`.
 */

/** A cell whose formula nobody has computed yet. */
export interface Uncomputed {
  /** As a person finds it: `B2`. */
  readonly cell: string
  readonly line: number
  readonly formula: string
}

/** Such cells of the first sheet, the first of each line; none where the file is not as expected, which its reader will say. */
export async function uncomputedFormulas(path: string): Promise<ReadonlyMap<number, Uncomputed>> {
  const found = new Map<number, Uncomputed>()
  const archive = await readFile(path).catch(() => Buffer.alloc(0))
  const entries = entriesOf(archive)
  const text = (name: string): string => textOf(archive, entries.get(name))
  const book = text('xl/workbook.xml')
  const sheet = text(firstSheet(book, text('xl/_rels/workbook.xml.rels')))
  const isStale = /<(?:\w+:)?calcPr\b[^>]*\bfullCalcOnLoad="(?:1|true)"/.test(book)
  for (const [, attributes, content] of sheet.matchAll(/<(?:\w+:)?c\b([^>]*[^/])>(.*?)<\/(?:\w+:)?c>/gs)) {
    const formula = /<(?:\w+:)?f\b[^>]*?(?:\/>|>([^<]*)<)/.exec(content!)
    if (!formula || isComputed(attributes!, content!, isStale)) continue
    const cell = attribute(attributes!, 'r') ?? ''
    const line = Number(/\d+$/.exec(cell)?.[0])
    if (!found.has(line)) found.set(line, { cell, line, formula: unescaped(formula[1] ?? '') })
  }
  return found
}

function isComputed(attributes: string, content: string, isStale: boolean): boolean {
  const value = /<(?:\w+:)?v\b[^>]*?(?:(\/>)|>([^<]*)<)/.exec(content)
  if (!value) return false
  const saved = value[2] ?? ''
  // A text may be empty, and 0 may be the value, if the file does not say that all is still to be computed.
  if (saved === '') return attribute(attributes, 't') === 'str' && !isStale
  return !(isStale && saved === '0')
}

const attribute = (attributes: string, name: string): string | undefined =>
  new RegExp(`(?:^|\\s)(?:\\w+:)?${name}="([^"]*)"`).exec(attributes)?.[1]

const NAMED: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }
const unescaped = (text: string): string => text.replace(/&(lt|gt|amp|quot|apos);/g, (_, name: string) => NAMED[name]!)

function firstSheet(book: string, relations: string): string {
  const id = attribute(/<(?:\w+:)?sheet\b([^>]*)>/.exec(book)?.[1] ?? '', 'id')
  const all = [...relations.matchAll(/<(?:\w+:)?Relationship\b([^>]*)>/g)].map(([, attributes]) => attributes!)
  const target = attribute(all.find((one) => attribute(one, 'Id') === id) ?? '', 'Target') ?? ''
  return target.startsWith('/') ? target.slice(1) : `xl/${target}`
}

interface Entry {
  readonly method: number
  readonly offset: number
  readonly bytes: number
}

const [END, CENTRAL, STORED, DEFLATED] = [0x06054b50, 0x02014b50, 0, 8]

/** By the directory at the end of the archive. */
function entriesOf(archive: Buffer): ReadonlyMap<string, Entry> {
  const entries = new Map<string, Entry>()
  const end = archive.lastIndexOf(Buffer.from('PK\x05\x06'))
  if (end < 0 || end + 22 > archive.length || archive.readUInt32LE(end) !== END) return entries
  for (let at = archive.readUInt32LE(end + 16); at + 46 <= archive.length; ) {
    if (archive.readUInt32LE(at) !== CENTRAL) break
    const [name, extra, comment] = [28, 30, 32].map((place) => archive.readUInt16LE(at + place)) as [
      number,
      number,
      number,
    ]
    entries.set(archive.toString('utf8', at + 46, at + 46 + name), {
      method: archive.readUInt16LE(at + 10),
      bytes: archive.readUInt32LE(at + 20),
      offset: archive.readUInt32LE(at + 42),
    })
    at += 46 + name + extra + comment
  }
  return entries
}

function textOf(archive: Buffer, entry: Entry | undefined): string {
  if (!entry || entry.offset + 30 > archive.length) return ''
  const names = archive.readUInt16LE(entry.offset + 26) + archive.readUInt16LE(entry.offset + 28)
  const from = entry.offset + 30 + names
  const content = archive.subarray(from, from + entry.bytes)
  try {
    if (entry.method === STORED) return content.toString('utf8')
    return entry.method === DEFLATED ? inflateRawSync(content).toString('utf8') : ''
  } catch {
    return ''
  }
}
