import { createRequire } from 'node:module'
import { FloeError } from '../../model/errors.ts'

/** What is used of npm's kerberos, https://github.com/mongodb-js/kerberos: an optional peer, loaded when an HDFS with `kerberos: true` is asked. */
export interface KerberosPackage {
  readonly GSS_MECH_OID_KRB5: number
  readonly GSS_MECH_OID_SPNEGO: number
  initializeClient(service: string, options: { mechOID: number }): Promise<{ step(challenge: string): Promise<string> }>
}

/** What to say behind `Authorization: Negotiate` to a host, once. Throws HDFS_LOGIN, CONFIG_INVALID. */
export type Negotiate = (host: string) => Promise<string>

/** Logs in with the ticket that `kinit` got. */
export function negotiateWith(load: () => KerberosPackage = loadKerberos): Negotiate {
  let loaded: KerberosPackage | undefined
  const begin = async (host: string, mechanism: 'GSS_MECH_OID_KRB5' | 'GSS_MECH_OID_SPNEGO') => {
    loaded ??= load()
    const client = await loaded.initializeClient(`HTTP@${host}`, { mechOID: loaded[mechanism] })
    return client.step('')
  }
  return async (host) => {
    try {
      return await begin(host, 'GSS_MECH_OID_SPNEGO')
    } catch (cause) {
      if (cause instanceof FloeError) throw cause
      // SPNEGO says only that nothing can be negotiated; Kerberos itself says why.
      const reason = await begin(host, 'GSS_MECH_OID_KRB5').then(
        () => cause,
        (own: unknown) => own,
      )
      throw loginError(host, reason as Error)
    }
  }
}

/** By what MIT's Kerberos says. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [/No Kerberos credentials|No credentials cache|Matching credential not found/, '`kinit` gets a ticket.'],
  [/expired/i, 'Your ticket has ended: `kinit` gets a new one.'],
  [/skew/i, 'The clock of this machine is wrong, or that of the KDC: Kerberos bears five minutes at most.'],
  [
    /not found in Kerberos database/,
    'Name the name node as its principal HTTP/host does, with its full host name; `hosts:` of `hdfs:` in sites.yaml says where that is.',
  ],
  [/KDC|realm/, 'Does /etc/krb5.conf, or $KRB5_CONFIG, name the KDC, and does it answer?'],
]

export function loginError(host: string, cause: Error): FloeError {
  const text = cause.message.replace(
    /^(Unspecified GSS failure\. +Minor code may provide more information|No credentials were supplied[^:]*): /,
    '',
  )
  const hint = HINTS.find(([pattern]) => pattern.test(text))?.[1]
  return new FloeError('HDFS_LOGIN', `Kerberos does not let us in at ${host}: ${text}`, {
    details: { fault: 'login' },
    ...(hint !== undefined && { hint }),
    cause,
  })
}

function loadKerberos(): KerberosPackage {
  const load = createRequire(import.meta.url)
  try {
    return load('kerberos') as KerberosPackage
  } catch (cause) {
    const why = (cause as Error).message.split('\n')[0]
    throw new FloeError(
      'CONFIG_INVALID',
      `an HDFS asks for Kerberos, and the package for it cannot be loaded: ${why}`,
      {
        hint: 'Install it beside floe: `npm install kerberos` (without `-g` if floe is not global; where it is compiled it needs a compiler and the headers of MIT Kerberos, libkrb5-dev or krb5-devel).',
        cause,
      },
    )
  }
}
