/** How a site lets people in. Without options: as a plain Debian, by key only. */
export interface LoginOptions {
  /** What sshd shows before it asks who is there. */
  readonly banner?: string
  /** What the start files of alice's shell print on stdout, before every command too. */
  readonly noise?: string
  /** Channels that one connection may have open at once. sshd ships 10. */
  readonly maxSessions?: number
  /** alice's login shell; bash by default. */
  readonly shell?: 'bash' | 'csh' | 'sh'
  /** `internal` (the default) does not mind noise; `program` is started by the login shell, which prints its noise into the transfer. */
  readonly sftp?: 'internal' | 'program' | 'none'
  /** Asked for after the key, each time, as a one-time password would be. */
  readonly password?: string
  /** Lines of sshd_config that come first, and so win. */
  readonly sshd?: readonly string[]
}

const SFTP = {
  internal: ['Subsystem sftp internal-sftp'],
  program: ['Subsystem sftp /usr/lib/openssh/sftp-server'],
  none: [],
}

function sshdConfig({ banner, maxSessions, sftp = 'internal', password, sshd = [] }: LoginOptions): readonly string[] {
  return [
    ...sshd,
    'HostKey /etc/ssh/ssh_host_ed25519_key',
    'AuthorizedKeysFile /etc/ssh/authorized_keys/%u',
    'UsePAM yes',
    'UseDNS no',
    'PrintMotd no',
    'PasswordAuthentication no',
    ...(password === undefined
      ? ['KbdInteractiveAuthentication no']
      : ['KbdInteractiveAuthentication yes', 'AuthenticationMethods publickey,keyboard-interactive']),
    ...(banner === undefined ? [] : ['Banner /etc/ssh/banner']),
    ...(maxSessions === undefined ? [] : [`MaxSessions ${maxSessions}`]),
    ...SFTP[sftp],
  ]
}

/** Files and environment of a machine that is logged in to. */
export function loginSetup(options: LoginOptions, publicKey: string) {
  const { banner, noise, shell = 'bash', password } = options
  const printNoise = 'cat /etc/noise\n'
  return {
    files: {
      '/etc/ssh/sshd_config': `${sshdConfig(options).join('\n')}\n`,
      '/etc/ssh/authorized_keys/alice': `${publicKey}\n`,
      '/etc/ssh/authorized_keys/bob': `${publicKey}\n`,
      ...(banner === undefined ? {} : { '/etc/ssh/banner': banner }),
      ...(noise === undefined
        ? {}
        : { '/etc/noise': noise, '/home/alice/.bashrc': printNoise, '/home/alice/.cshrc': printNoise }),
    },
    environment: { LOGIN_SHELL: `/bin/${shell}`, ...(password === undefined ? {} : { PASSWORD: password }) },
  }
}
