import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Why nothing can be mounted here; mounting needs root, which the project's own checks are. */
export const cannotMount = (() => {
  const probe = mkdtempSync(join(tmpdir(), 'floe-mount-'))
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', probe], { encoding: 'utf8' })
  if (status === 0) execFileSync('umount', [probe])
  rmSync(probe, { recursive: true })
  return status === 0 ? undefined : `nothing can be mounted here: ${stderr?.trim()}`
})()
/** The name of a test that mounts, with the reason when it is left out. */
export const mounting = (name: string) => (cannotMount === undefined ? name : `${name} (${cannotMount})`)

/** A small disk. */
export class Tmpfs {
  readonly path = mkdtempSync(join(tmpdir(), 'floe-disk-'))

  constructor(megabytes: number) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'none', this.path])
  }

  resize(megabytes: number): void {
    execFileSync('mount', ['-o', `remount,size=${megabytes}m`, this.path])
  }

  /** With so many bytes; without: to the last one. */
  fill(bytes = Number.MAX_SAFE_INTEGER): void {
    spawnSync('sh', ['-c', 'head -c "$1" /dev/zero >"$0"', join(this.path, 'fill'), String(bytes)])
  }

  makeRoom(): void {
    rmSync(join(this.path, 'fill'), { force: true })
  }

  remove(): void {
    execFileSync('umount', ['-l', this.path])
    rmSync(this.path, { recursive: true })
  }
}
