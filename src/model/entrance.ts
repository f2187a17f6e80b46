/*
 * File `hdfs` in an array's directory, readable by its owner alone: JSON, for each HDFS that inputs or outputs of the array lie in, by `host:port` as their
 * addresses name it, how to get in. It holds tokens, so they are in no manifest and on no command line.
 */
export type Entrances = Readonly<Record<string, Entrance>>

export interface Entrance {
  /** Of its addresses. */
  readonly scheme: 'webhdfs' | 'swebhdfs'
  /** The user that a cluster without Kerberos believes. */
  readonly user?: string
  /** A delegation token, instead of a user. */
  readonly token?: string
  /** Name nodes of which one is active, `host:port`. */
  readonly nameNodes: readonly string[]
  /** Whose certificates are trusted, PEM; absent: those that Node trusts. */
  readonly ca?: string
  /** Where hosts of the cluster are for the nodes: `name` or `name:port` → `address` or `address:port`. */
  readonly hosts: Readonly<Record<string, string>>
}
