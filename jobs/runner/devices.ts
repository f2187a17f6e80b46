/** Variables by which programs are told their devices; schedulers set them for a whole task. */
const VISIBLE = [
  'CUDA_VISIBLE_DEVICES',
  'ROCR_VISIBLE_DEVICES',
  'HIP_VISIBLE_DEVICES',
  'GPU_DEVICE_ORDINAL',
  'ZE_AFFINITY_MASK',
] as const

export interface SlotOfTask {
  readonly index: number
  readonly slots: number
  /** Devices of one job. */
  readonly gpus: number
}

/**
 * The variables that show a slot its own devices: the task's devices, dealt out in order. Where the scheduler told none they are numbered,
 * since jobs side by side would else all take the first.
 */
export function visibleDevices(
  { index, slots, gpus }: SlotOfTask,
  environment: NodeJS.ProcessEnv,
): Readonly<Record<string, string>> {
  if (gpus === 0 || slots === 1) return {}
  const told = VISIBLE.flatMap((name) => (environment[name] ? [[name, environment[name].split(',')] as const] : []))
  const numbered = [
    'CUDA_VISIBLE_DEVICES',
    Array.from({ length: slots * gpus }, (_, device) => String(device)),
  ] as const
  return Object.fromEntries(
    (told.length > 0 ? told : [numbered])
      .filter(([, devices]) => devices.length >= slots * gpus)
      .map(([name, devices]) => [name, devices.slice(index * gpus, (index + 1) * gpus).join(',')]),
  )
}
