// Pictures of a seasonal cycle: for the terminal and as SVG. Pure: numbers in, text out.

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const EIGHTHS = ['  ', '▁▁', '▂▂', '▃▃', '▄▄', '▅▅', '▆▆', '▇▇', '██']

/** Twelve bars from zero, one row of text a metre a second, in at most 60 columns. `season`: [{month, mean}], m/s. */
export function drawTerminal(season) {
  const top = Math.ceil(Math.max(...season.map(({ mean }) => mean)))
  const rows = []
  for (let row = top; row > 0; row--) {
    const cells = season.map(({ mean }) => EIGHTHS[Math.round(8 * Math.min(1, Math.max(0, mean - row + 1)))])
    rows.push(`${String(row).padStart(4)} ┤ ${cells.join('  ')}`.trimEnd())
  }
  rows.push(`   0 ┼─${'────'.repeat(season.length)}`)
  rows.push(`       ${season.map(({ month }) => MONTHS[month - 1]).join(' ')}`)
  rows.push(`       ${season.map(({ mean }) => mean.toFixed(1)).join(' ')}`)
  return rows.join('\n')
}

const WIDTH = 760
const HEIGHT = 440
const PLOT = { left: 74, right: WIDTH - 24, top: 84, bottom: HEIGHT - 62 }

/**
 * The mean of each month as a line, the range of the single years as a band. Readable on light and dark pages: it follows the wish of the
 * reader (prefers-color-scheme) and brings its own background. `season`: [{month, mean, least, most}], m/s.
 */
export function drawSvg(season, { title, subtitle }) {
  const top = Math.ceil(Math.max(...season.map(({ most }) => most)))
  const x = (month) => PLOT.left + ((month - 0.5) * (PLOT.right - PLOT.left)) / 12
  const y = (speed) => PLOT.bottom - (speed * (PLOT.bottom - PLOT.top)) / top
  const point = (month, speed) => `${x(month).toFixed(1)},${y(speed).toFixed(1)}`
  const band = [
    ...season.map(({ month, most }) => point(month, most)),
    ...season.toReversed().map(({ month, least }) => point(month, least)),
  ]
  const grid = Array.from({ length: top + 1 }, (_, speed) => {
    const at = y(speed).toFixed(1)
    return (
      `<line class="${speed === 0 ? 'axis' : 'grid'}" x1="${PLOT.left}" x2="${PLOT.right}" y1="${at}" y2="${at}"/>` +
      `<text x="${PLOT.left - 10}" y="${at}" dy="0.35em" text-anchor="end">${speed}</text>`
    )
  })
  const months = season.map(({ month }) => {
    const at = `x="${x(month).toFixed(1)}" text-anchor="middle"`
    return `<text ${at} y="${PLOT.bottom + 22}">${MONTHS[month - 1]}</text>`
  })
  const points = season.map(({ month, mean }) => {
    const [cx, cy] = point(month, mean).split(',')
    return (
      `<circle cx="${cx}" cy="${cy}" r="4"/>` +
      `<text class="value" x="${cx}" y="${(Number(cy) - 10).toFixed(1)}" text-anchor="middle">${mean.toFixed(2)}</text>`
    )
  })
  const middle = (PLOT.top + PLOT.bottom) / 2
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-labelledby="title desc">
<title id="title">${escapeXml(title)}</title>
<desc id="desc">${escapeXml(`${subtitle}. ${season.map(({ month, mean }) => `${MONTHS[month - 1]} ${mean.toFixed(2)}`).join(', ')} m/s.`)}</desc>
<style>
  svg { font: 14px system-ui, 'DejaVu Sans', sans-serif; }
  .page { fill: #ffffff; } text { fill: #24292f; } .small { fill: #57606a; font-size: 13px; } .title { font-size: 19px; font-weight: 600; }
  .grid { stroke: #d8dee4; } .axis { stroke: #57606a; } .band { fill: #0969da; fill-opacity: 0.16; }
  .mean { fill: none; stroke: #0969da; stroke-width: 2.5; stroke-linejoin: round; } circle { fill: #0969da; } .value { font-size: 12px; paint-order: stroke; stroke: #ffffff; stroke-width: 3px; stroke-opacity: 0.7; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } .value { stroke: #0d1117; } text { fill: #e6edf3; } .small { fill: #9198a1; }
    .grid { stroke: #30363d; } .axis { stroke: #9198a1; } .band { fill: #58a6ff; fill-opacity: 0.22; } .mean { stroke: #58a6ff; } circle { fill: #58a6ff; }
  }
</style>
<rect class="page" width="${WIDTH}" height="${HEIGHT}"/>
<text class="title" x="${PLOT.left}" y="36">${escapeXml(title)}</text>
<text class="small" x="${PLOT.left}" y="60">${escapeXml(subtitle)}</text>
${grid.join('\n')}
<polygon class="band" points="${band.join(' ')}"/>
<polyline class="mean" points="${season.map(({ month, mean }) => point(month, mean)).join(' ')}"/>
${points.join('\n')}
${months.join('\n')}
<text x="${(PLOT.left + PLOT.right) / 2}" y="${HEIGHT - 14}" text-anchor="middle">Month</text>
<text transform="translate(24 ${middle}) rotate(-90)" text-anchor="middle">Mean wind speed, m/s</text>
</svg>
`
}

const escapeXml = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
