import { isMap, isScalar, isSeq, parseDocument } from 'yaml'
import { excerpt, type Fault } from './given.ts'
import { type Given, jobForm } from './job-form.ts'
import { named, type ReadPiece } from './yaml-job.ts'

/** Jobs are read apart from each other, so an anchor holds within one job; aliases may make so many values at most. */
const ALIASES_MAX = 1000

/** What the plain part does not cover: a full parser reads this piece alone. */
export function parsePiece(line: number, lines: readonly string[]): ReadPiece[] {
  const text = `${lines.join('\n')}\n`
  const document = parseDocument(text, {
    schema: 'failsafe',
    customTags: ['null', 'merge'],
    merge: true,
    prettyErrors: true,
    stringKeys: false,
  })
  const [error] = document.errors
  if (error) {
    const at = error.linePos?.[0].line ?? 1
    return [{ line: line + at - 1, form: yamlFault(error.message, { job: lines[0]!, value: lines[at - 1] ?? '' }) }]
  }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: ALIASES_MAX })
  } catch (cause) {
    return [{ line, form: yamlFault((cause as Error).message, { job: lines[0]!, value: lines[0]! }) }]
  }
  const { contents } = document
  if (isSeq(contents)) {
    return (value as Given[]).map((job, at) => {
      const range = (contents.items[at] as { range?: readonly number[] } | undefined)?.range
      return { line: line + newlines(text, range?.[0] ?? 0), form: jobForm(job) }
    })
  }
  if (isMap(contents)) {
    return Object.entries(value as Record<string, Given>).map(([name, job], at) => {
      const key = contents.items[at]?.key
      const start = isScalar(key) ? (key.range?.[0] ?? 0) : 0
      return named(line + newlines(text, start), name, job)
    })
  }
  return [
    {
      line,
      form: {
        job: null,
        value: excerpt(lines[0]!),
        reason: 'no job',
        hint: 'write `NAME:` and what belongs to it below',
      },
    },
  ]
}

function newlines(text: string, end: number): number {
  let count = 0
  for (let at = text.indexOf('\n'); at >= 0 && at < end; at = text.indexOf('\n', at + 1)) count++
  return count
}

function yamlFault(message: string, { job, value }: { job: string; value: string }): Fault {
  const first = message.split('\n')[0]!.replace(/ at line \d+.*$/, '')
  const known = KNOWN.find(([pattern]) => pattern.test(first))
  return {
    job: /^["']?([^"':]+)["']?:/.exec(job)?.[1]?.trim() ?? null,
    value: excerpt(value),
    reason: known?.[1] ?? `no YAML: ${first}`,
    hint: known?.[2] ?? 'correct the line; a text with `: `, ` #` or a leading `{`, `[`, `*`, `&` needs quotes',
  }
}

const KNOWN: readonly (readonly [RegExp, string, string])[] = [
  [/tabs?\b/i, 'a tab where blanks are wanted', 'indent with blanks; YAML knows no tabs'],
  [/excessive alias|alias count/i, 'aliases that multiply beyond measure', 'write the values out'],
  [
    /unresolved alias/i,
    'an alias of something in another job, or nowhere',
    'an anchor holds within one job; use templates or the defaults of floe.yaml',
  ],
  [/map keys must be unique/i, 'a key is given twice', 'keep one of them'],
]
