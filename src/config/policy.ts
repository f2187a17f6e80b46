import * as z from 'zod'
import { parseBytes, parseSeconds } from '../model/resources.ts'
import { FAILURE_CLASSES, type FailureClass, INFRASTRUCTURE_CLASSES } from '../model/verdict.ts'

/* `policy:` of floe.yaml: what follows a failure, by its class. */

export const ACTIONS = ['retry', 'memory', 'walltime', 'split', 'elsewhere', 'hold', 'give up'] as const
export type PolicyAction = (typeof ACTIONS)[number]

/** What follows a failure of one class. */
export interface PolicyRule {
  readonly action: PolicyAction
  /** Attempts that may end so; 1: nothing is tried again. */
  readonly tries: number
  /** What the next try asks for, times this. */
  readonly factor: number
  /** Of `memory` in bytes, of `walltime` in seconds; null: what the site gives. */
  readonly cap: number | null
  /** Before the second try; doubled before each one after it. */
  readonly waitSec: number
  /** After the last try. */
  readonly exhausted: 'give up' | 'hold'
}

/** What a person cancelled is never tried again by itself. */
export type RuledClass = Exclude<FailureClass, 'cancelled'>
export const RULED = FAILURE_CLASSES.filter((name): name is RuledClass => name !== 'cancelled')

const NEVER: PolicyRule = { action: 'give up', tries: 1, factor: 1, cap: null, waitSec: 0, exhausted: 'give up' }

export const POLICY_DEFAULTS: Readonly<Record<FailureClass, PolicyRule>> = {
  app: NEVER,
  check: NEVER,
  memory: { ...NEVER, action: 'memory', tries: 3, factor: 2 },
  walltime: { ...NEVER, action: 'walltime', tries: 2, factor: 2 },
  node: { ...NEVER, action: 'elsewhere', tries: 5 },
  staging: { ...NEVER, action: 'retry', tries: 3, waitSec: 10 },
  input: { ...NEVER, action: 'hold', exhausted: 'hold' },
  launch: NEVER,
  preempted: { ...NEVER, action: 'retry', tries: 10 },
  purged: { ...NEVER, action: 'retry', tries: 5 },
  lost: { ...NEVER, action: 'retry', tries: 3 },
  cancelled: NEVER,
}

const TEXTS: Readonly<Record<RuledClass, string>> = {
  app: 'Exit other than 0, or an output that is not there.',
  check: 'Exit 0, then `check` failed.',
  memory: 'Over its memory.',
  walltime: 'Over its walltime.',
  node: 'The node died or was taken away, or a disk was full.',
  staging: 'An input could not be linked or copied to the node.',
  input: 'An input was absent or differed from what was planned.',
  launch: 'The program could not be started.',
  preempted: 'The scheduler took the node for other work.',
  purged: 'Scratch was cleaned under the task.',
  lost: 'No evidence at all before the deadline.',
}

const quantity = z.union([z.string(), z.number()])
const text = (description: string, unit?: string) => (unit === undefined ? { description } : { description, unit })

const shape = {
  action: z
    .enum(ACTIONS)
    .optional()
    .meta(
      text(
        'retry: as it was; memory: with more of it; walltime: with more of it; split: in a batch of half as many jobs; elsewhere: not on the node where it failed; hold: for a person; give up.',
      ),
    ),
  tries: z.number().int().min(1).optional().meta(text('Attempts that may end so, the first one included.', 'tries')),
  factor: z
    .number()
    .gt(1)
    .optional()
    .meta(
      text(
        'Of `memory` and `walltime`: each try asks for so many times more, and for more than was measured; 2 without it.',
      ),
    ),
  cap: quantity
    .optional()
    .meta(text('Of `memory` a size, of `walltime` a duration: no try asks for more. Without it: what the site gives.')),
  wait: quantity.optional().meta(text('Before the second try, twice as long before the third, and so on.', 'seconds')),
  exhausted: z
    .enum(['give up', 'hold'])
    .optional()
    .meta(text('After the last try the job is failed, or held for a person. Without it: give up.')),
}

type Given = z.output<z.ZodObject<typeof shape>>

const rule = (name: RuledClass) =>
  z
    .strictObject(shape)
    .superRefine((given, context) => {
      for (const [key, message] of contradictions(name, given))
        context.addIssue({ code: 'custom', path: [key], message })
    })
    .prefault({})
    .meta({ ...text(TEXTS[name]), default: briefly(POLICY_DEFAULTS[name]) })

export const policySchema = z
  .strictObject(
    Object.fromEntries(RULED.map((name) => [name, rule(name)])) as unknown as Record<
      RuledClass,
      ReturnType<typeof rule>
    >,
  )
  .prefault({})

/** The rule that was meant; what was not said is as by default, unless it would contradict what was. */
export function toRule(name: RuledClass, given: Given): PolicyRule {
  const usual = POLICY_DEFAULTS[name]
  const action = actionOf(usual, given)
  if (isEnd(action)) return { ...NEVER, action, exhausted: action }
  const grows = action === 'memory' || action === 'walltime'
  return {
    action,
    tries: given.tries ?? usual.tries,
    factor: grows ? (given.factor ?? 2) : 1,
    cap: given.cap === undefined ? null : parseCap(action, given.cap)!,
    waitSec: given.wait === undefined ? usual.waitSec : parseSeconds(given.wait)!,
    exhausted: given.exhausted ?? 'give up',
  }
}

function actionOf({ action: usual }: PolicyRule, { action, tries = 1, exhausted }: Given): PolicyAction {
  if (action !== undefined || !isEnd(usual)) return action ?? usual
  return tries > 1 ? 'retry' : (exhausted ?? usual)
}

const isEnd = (action: PolicyAction): action is 'hold' | 'give up' => action === 'hold' || action === 'give up'

const parseCap = (action: PolicyAction, cap: string | number): number | undefined =>
  action === 'memory' ? parseBytes(cap) : action === 'walltime' ? parseSeconds(cap) : undefined

/** Keys whose value cannot hold together with the others, and why. */
function contradictions(name: RuledClass, given: Given): [keyof Given, string][] {
  const usual = POLICY_DEFAULTS[name]
  const action = actionOf(usual, given)
  const found: [keyof Given, string][] = []
  if (isEnd(action)) {
    for (const key of ['factor', 'cap', 'wait'] as const)
      if (given[key] !== undefined) found.push([key, `says how to try again, and \`action: ${action}\` not to`])
    if ((given.tries ?? 1) > 1) found.push(['tries', `says to try again, and \`action: ${action}\` not to`])
    if (given.exhausted !== undefined && given.action !== undefined && given.exhausted !== action)
      found.push(['exhausted', `says ${given.exhausted}, and \`action: ${action}\``])
    return found
  }
  if (given.action !== undefined && given.tries === undefined && usual.tries === 1)
    found.push(['action', 'would try again without end: say how often by `tries:`'])
  if (given.action !== undefined && given.tries === 1)
    found.push([
      'tries',
      `is 1, which tries nothing again, and \`action: ${action}\` does: say 2 or more, or \`action: give up\``,
    ])
  if (name === 'memory' && (action === 'walltime' || action === 'split'))
    found.push(['action', `is ${action}, which gives a job no more memory`])
  if (name === 'walltime' && action === 'memory') found.push(['action', 'is memory, which gives a job no more time'])
  if (given.factor !== undefined && action !== 'memory' && action !== 'walltime')
    found.push(['factor', `says to ask for more, and \`action: ${action}\` asks for the same`])
  if (given.cap !== undefined && action !== 'memory' && action !== 'walltime')
    found.push(['cap', `says to ask for more, and \`action: ${action}\` asks for the same`])
  else if (given.cap !== undefined && !parseCap(action, given.cap))
    found.push(['cap', action === 'memory' ? 'must be a size such as 64GB' : 'must be a duration such as 12h'])
  if (given.wait !== undefined && parseSeconds(given.wait) === undefined)
    found.push(['wait', 'must be a duration such as 90s or 10m'])
  return found
}

/** For the table of options. */
function briefly({ action, tries, factor, waitSec }: PolicyRule): Record<string, string | number> {
  return {
    action,
    ...(tries > 1 && { tries }),
    ...(factor !== 1 && { factor }),
    ...(waitSec > 0 && { wait: `${waitSec}s` }),
  }
}

/** Losses by the site: they use up no try of a job, and are counted for their own class alone. */
export const isCounted = (failure: FailureClass): boolean => !INFRASTRUCTURE_CLASSES.includes(failure)
