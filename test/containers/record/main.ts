import { sweep } from '../owner.ts'
import { recordGridEngine } from './gridengine.ts'
import { recordSlurm, recordSlurmAsShipped, recordSlurmCrowded, recordSlurmMemory } from './slurm.ts'

/** A recorder, and the parts of it that are wanted; without parts all. */
const [name, ...parts] = process.argv.slice(2)

await sweep()
if (name === 'slurm') await recordSlurm(parts)
else if (name === 'slurm-shipped') await recordSlurmAsShipped()
else if (name === 'slurm-crowded') await recordSlurmCrowded()
else if (name === 'slurm-memory') await recordSlurmMemory()
else if (name === 'sge') await recordGridEngine(parts)
else
  console.error(
    'which? slurm [settings] [refusals] [states] [ends] | slurm-shipped | slurm-crowded | slurm-memory | sge, with the same parts',
  )
