/*
 * Paths of job files, in SQL. An input is `scheme://…` (kept; what stands behind the host of webhdfs:// is a path as HDFS spells it), `root:path` (kept), an absolute path, or a path relative to the job file.
 * Paths are made plain by their text alone: no `.`, no `..`, no empty parts; a trailing slash says directory and stays.
 * The functions take and give SQL expressions; the first branch of each is the plain path that nearly all are.
 */

const SCHEME = "'^[A-Za-z][A-Za-z0-9+.-]*://'"
const ROOT = "'^[A-Za-z][A-Za-z0-9_.-]*:'"

/** Stands for a path that climbs above its start. Control characters are refused, so no path that is taken holds it. */
const ABOVE = 'chr(1)'

/** The parts of a path joined anew. At the start `..` goes nowhere when absolute, else it is ABOVE. */
function collapse(path: string, isAbsolute: boolean): string {
  const above = isAbsolute ? "''" : ABOVE
  return `list_reduce(string_split(${path}, '/'), lambda done, part: CASE
    WHEN done = ${ABOVE} OR part IN ('', '.') THEN done
    WHEN part = '..' THEN CASE WHEN done = '' THEN ${above} ELSE regexp_replace(done, '/?[^/]*$', '') END
    WHEN done = '' THEN part ELSE done || '/' || part END, '')`
}

const slashOf = (path: string): string => `CASE WHEN ends_with(${path}, '/') THEN '/' ELSE '' END`
const absolute = (path: string): string => `'/' || ${collapse(path, true)} || ${slashOf(path)}`

const isPlain = (path: string): string => `NOT contains(${path}, '//') AND NOT contains(${path}, '/.')`
const isPlainRelative = (path: string): string =>
  `${path} <> '' AND NOT starts_with(${path}, '/') AND NOT starts_with(${path}, '.') AND NOT contains(${path}, ':') AND ${isPlain(path)}`

export const isUrl = (path: string): string => `contains(${path}, '://') AND regexp_matches(${path}, ${SCHEME})`
const isHdfs = (path: string): string => `(starts_with(${path}, 'webhdfs://') OR starts_with(${path}, 'swebhdfs://'))`
/** `webhdfs://host[:port]/path`, with something behind the slash and no `..` in it, which HDFS does not know. */
const isHdfsFile = (path: string): string => `regexp_matches(${path},
  '^s?webhdfs://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:]+\\])(:[0-9]+)?/+[^/]') AND NOT regexp_matches(${path}, '/\\.\\.?(/|$)')`
const isRoot = (path: string): string => `contains(${path}, ':') AND regexp_matches(${path}, ${ROOT})`

/** The url of a path; `base` is the directory of the job file with a trailing slash, as an SQL literal. */
export const urlOf = (path: string, base: string): string => `CASE
  WHEN ${isPlainRelative(path)} THEN ${base} || ${path}
  WHEN starts_with(${path}, 'https://') OR starts_with(${path}, '/') AND ${isPlain(path)} THEN ${path}
  WHEN starts_with(${path}, '/') THEN ${absolute(path)}
  WHEN ${isUrl(path)} OR ${isRoot(path)} THEN ${path}
  ELSE ${absolute(`(${base} || ${path})`)} END`

/** Whether nothing has to be made plain in a list: each path as `isPlainRelative`, none null. `lines` is `linesOf` the list; false means look at each. */
export const arePlainUrls = (list: string, lines: string): string =>
  `coalesce(${arePlain(list, lines)} AND NOT contains(${lines}, ':') AND NOT contains(${lines}, '/' || chr(10)), false)`

/** The same for outputs, which may hold colons and be directories. */
export const arePlainOutputs = (list: string, lines: string): string => `coalesce(${arePlain(list, lines)}, false)`

/** A list as one text, each path between newlines: searching it once costs a third of looking at each path. */
export const linesOf = (list: string): string => `chr(10) || array_to_string(${list}, chr(10)) || chr(10)`

const arePlain = (list: string, lines: string): string =>
  `len(${list}) > 0 AND list_count(${list}) = len(${list}) AND NOT contains(${lines}, '//') AND NOT contains(${lines}, '/.')
    AND NOT contains(${lines}, chr(10) || '/') AND NOT contains(${lines}, chr(10) || '.') AND NOT contains(${lines}, chr(10) || chr(10))`

const withoutSlash = (path: string): string => `regexp_replace(${path}, '/+$', '')`
const lastPart = (path: string): string => `regexp_extract(${path}, '[^/]*$')`

/** Name in the job's directory: a relative path as given (also behind `root:`), else the last part; without trailing slash, and without the query that HDFS has none of. */
export const nameOf = (path: string): string => {
  const given = withoutSlash(`regexp_replace(${path}, ${ROOT}, '')`)
  return `CASE
  WHEN ${isPlainRelative(path)} THEN CASE WHEN ends_with(${path}, '/') THEN ${withoutSlash(path)} ELSE ${path} END
  WHEN ${isHdfs(path)} THEN ${lastPart(withoutSlash(path))}
  WHEN ${isUrl(path)} THEN ${lastPart(withoutSlash(`regexp_replace(${path}, '[?#].*$', '', 's')`))}
  WHEN starts_with(${given}, '/') OR regexp_matches(${given}, '(^|/)\\.\\.(/|$)') THEN ${lastPart(given)}
  ELSE ${collapse(given, true)} END`
}

/** An output below the campaign's outputs; null when it is not below them. */
export const outputOf = (path: string): string => `CASE
  WHEN ${isPlain(path)} AND ${path} <> '' AND NOT starts_with(${path}, '/') AND NOT starts_with(${path}, '.') THEN ${path}
  WHEN ${path} = '' OR starts_with(${path}, '/') OR ${isUrl(path)} THEN NULL
  WHEN ${collapse(path, false)} IN ('', ${ABOVE}) THEN NULL
  ELSE ${collapse(path, false)} || ${slashOf(path)} END`

/** Whether a url cannot be read: a scheme that floe does not know, a root's path that climbs above it, nothing at all. */
export const isWrongUrl = (path: string): string => `(${path} = '' OR contains(${path}, ':') AND (
  ${isUrl(path)} AND NOT regexp_matches(${path}, '^https?://.') AND NOT (${isHdfsFile(path)})
  OR NOT starts_with(${path}, '/') AND NOT (${isUrl(path)}) AND ${isRoot(path)}
    AND ${collapse(`regexp_replace(${path}, ${ROOT}, '')`, false)} IN ('', ${ABOVE})))`

export const isGlob = (path: string): string => `regexp_matches(${path}, '[*?\\[]')`
