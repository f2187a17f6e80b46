import { type Code, FloeError } from '../../model/errors.ts'

/** What went wrong with one request. `wait`: the same may go well later; `node`: elsewhere; the others are answers. */
export interface Fault {
  readonly kind:
    | 'absent'
    | 'there'
    | 'denied'
    | 'login'
    | 'quota'
    | 'busy'
    | 'name'
    | 'wait'
    | 'node'
    | 'lost'
    | 'other'
  readonly text: string
  readonly hint?: string
}

/** HDFS's words for it, by the name of the exception without its package. */
const EXCEPTIONS: Readonly<Record<string, Fault['kind']>> = {
  FileNotFoundException: 'absent',
  ParentNotDirectoryException: 'absent',
  FileAlreadyExistsException: 'there',
  PathIsNotEmptyDirectoryException: 'there',
  AccessControlException: 'denied',
  InvalidToken: 'login',
  AuthenticationException: 'login',
  SecurityException: 'login',
  NSQuotaExceededException: 'quota',
  DSQuotaExceededException: 'quota',
  QuotaByStorageTypeExceededException: 'quota',
  AlreadyBeingCreatedException: 'busy',
  RecoveryInProgressException: 'busy',
  InvalidPathException: 'name',
  PathComponentTooLongException: 'name',
  SafeModeException: 'wait',
  StandbyException: 'wait',
  RetriableException: 'wait',
  NotReplicatedYetException: 'wait',
  // Of a data node that does not reach the name node.
  ConnectException: 'wait',
  ConnectTimeoutException: 'wait',
  EOFException: 'wait',
  NoRouteToHostException: 'wait',
  SocketException: 'wait',
  SocketTimeoutException: 'wait',
  BlockMissingException: 'node',
}

/** Faults that HDFS tells by a message only. */
const MESSAGES: readonly (readonly [RegExp, Fault['kind']])[] = [
  [/\(is not a directory\)/, 'absent'],
  [/is under construction/, 'busy'],
  [/No active nodes contain|Fail to get block/, 'wait'],
  [/could only be written to \d+ of the \d+|Failed to find datanode/, 'wait'],
  [/Could not obtain block|All datanodes .* are bad/, 'node'],
]

/** The fault that an answer with an error status tells; `asks`: how it wants one to log in, as its header WWW-Authenticate says. */
export function remoteFault(status: number, body: string, asks = ''): Fault {
  const { exception, message } = remoteException(body)
  if (exception === undefined) return plainFault(status, body, asks)
  const text = message.split('\n')[0]!.trim()
  const name = exception.replace(/^.*[.$]/, '')
  const kind = MESSAGES.find(([pattern]) => pattern.test(message))?.[1] ?? EXCEPTIONS[name]
  return { kind: kind ?? (status >= 500 ? 'wait' : 'other'), text: `${name}: ${text}` }
}

function remoteException(body: string): { exception?: string; message: string } {
  try {
    const { RemoteException: told } = JSON.parse(body) as { RemoteException?: { exception: string; message?: string } }
    return told ? { exception: told.exception, message: told.message ?? '' } : { message: '' }
  } catch {
    return { message: '' }
  }
}

const KERBEROS =
  'This HDFS asks for Kerberos: say `kerberos: true` of it under `hdfs:` in sites.yaml, or name a file with a delegation token there.'
const SKEW = 'The clocks of this machine and of HDFS differ: Kerberos bears five minutes at most.'

function plainFault(status: number, body: string, asks: string): Fault {
  const text = `HTTP ${status}: ${body
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 200)}`
  if (/GSSException|Clock skew/.test(text)) return { kind: 'login', text, ...(/skew/.test(text) && { hint: SKEW }) }
  if (status === 401) return { kind: 'login', text, ...(/Negotiate/i.test(asks) && { hint: KERBEROS }) }
  // HttpFS says so of a place behind the end of a file.
  const isAnswer = /EOFException/.test(body)
  if ((status === 429 || status >= 500) && !isAnswer) return { kind: 'wait', text }
  return { kind: 'other', text, hint: 'Does the address name the HTTP port of an HDFS name node, or of HttpFS?' }
}

const GONE = new Set(['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EPIPE', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN'])

/** The fault that an error of a connection tells. `host` is the one that was asked. */
export function connectionFault(cause: unknown, host: string): Fault {
  const { code = '', message } = cause as NodeJS.ErrnoException
  const text = `${host}: ${message}`
  if (code === 'ENOTFOUND') {
    const hint = `This machine cannot resolve ${host}. Say where it is by \`hosts:\` in sites.yaml (\`hdfs_hosts:\` for nodes of a site), or use HttpFS, which answers for all nodes.`
    return { kind: 'lost', text, hint }
  }
  if (/wrong version number|packet length too long|EPROTO/.test(`${code} ${message}`))
    return { kind: 'lost', text, hint: `${host} does not speak TLS there: say webhdfs:// instead of swebhdfs://.` }
  if (code.startsWith('HPE_'))
    return { kind: 'lost', text, hint: `${host} does not speak plain HTTP there: say swebhdfs:// if it wants TLS.` }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return {
      kind: 'lost',
      text,
      hint: `Name ${host} as its certificate does; \`hosts:\` in sites.yaml says where that is.`,
    }
  if (/^(CERT_|ERR_TLS|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(VERIFY|GET))/.test(code)) {
    const hint = 'Name a file with the certificate of who signed it by `ca:` of this HDFS in sites.yaml.'
    return { kind: 'lost', text, hint }
  }
  if (GONE.has(code) || /socket hang up|aborted/.test(message)) return { kind: 'node', text }
  return { kind: 'other', text }
}

const CODE: Readonly<Record<Fault['kind'], Code>> = {
  absent: 'HDFS_REFUSED',
  there: 'HDFS_REFUSED',
  denied: 'NOT_WRITABLE',
  login: 'HDFS_LOGIN',
  quota: 'DISK_FULL',
  busy: 'FILE_BUSY',
  name: 'NOT_SUPPORTED',
  wait: 'HDFS_UNREACHABLE',
  node: 'HDFS_UNREACHABLE',
  lost: 'HDFS_UNREACHABLE',
  other: 'HDFS_REFUSED',
}

const HINT: Partial<Record<Fault['kind'], string>> = {
  denied: 'Ask the owner for the right, as by `hdfs dfs -chmod` or `-setfacl`, or name the user that has it.',
  quota: 'Free some space there, or have the quota raised; `hdfs dfs -count -q` shows it.',
  name: 'HDFS takes no `:` in names, and none of more than 255 bytes: choose another.',
}

/** The fault as a FloeError. `tried` says what, with its URL. */
export function hdfsError(fault: Fault, tried: string, cause?: unknown): FloeError {
  const hint = fault.hint ?? HINT[fault.kind]
  return new FloeError(CODE[fault.kind], `cannot ${tried}: ${fault.text}`, {
    details: { fault: fault.kind },
    ...(hint !== undefined && { hint }),
    ...(cause !== undefined && { cause }),
  })
}

/** The fault that such an error was made of. */
export function faultIn(cause: unknown): Fault['kind'] | undefined {
  const details = cause instanceof FloeError ? (cause.details as { fault?: Fault['kind'] }) : {}
  return details.fault
}
