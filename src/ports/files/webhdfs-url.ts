import { FloeError } from '../../model/errors.ts'

export interface HdfsUrl {
  readonly scheme: 'webhdfs' | 'swebhdfs'
  /** `host:port` */
  readonly authority: string
  /** Absolute, as HDFS spells it: nothing in it is decoded. */
  readonly path: string
}

export const isHdfsUrl = (text: string): boolean => /^s?webhdfs:/.test(text)

/** `webhdfs://host:port/path`; the port is 9870, of swebhdfs 9871. As in Hadoop, a `%` or `+` of the path is one. Throws USAGE. */
export function parseHdfsUrl(text: string): HdfsUrl {
  const found = /^(s?webhdfs):\/\/([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::(\d+))?(\/[^\0]*)?$/.exec(text)
  if (!found) {
    throw new FloeError('USAGE', `${JSON.stringify(text)} is no address of HDFS.`, {
      hint: 'Write webhdfs://namenode:9870/path; the port is that of HTTP.',
    })
  }
  const [, scheme, host, port = scheme === 'webhdfs' ? '9870' : '9871', path = '/'] = found
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw new FloeError('USAGE', `HDFS takes no \`..\` in a path: ${text}`)
  return { scheme: scheme as HdfsUrl['scheme'], authority: `${host}:${port}`, path: `/${parts.join('/')}` }
}
