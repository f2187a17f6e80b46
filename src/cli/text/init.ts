import type { InitReport } from '../../floe.ts'
import { near, shellWord } from './words.ts'

export function renderInit({ directory, action, made }: InitReport, from = process.cwd()): string {
  const shown = near(directory, from)
  const inside = shown === '.' ? '' : ` -C ${shellWord(shown)}`
  const next = [
    'Next:',
    `  floe${inside} add JOBS.yaml      put jobs into the catalog`,
    `  floe${inside} plan               see what they cost`,
    `  floe${inside} run                run them`,
  ]
  switch (action) {
    case 'made':
      return [`Made a campaign in ${shown}: ${made.join(', ')}`, '', ...next, ''].join('\n')
    case 'forked':
      return `${shown} is a campaign of its own now; what runs for the original is left to it.\n`
    case 'adopted':
      return `${shown} is where this campaign lies from now on.\n`
  }
}
