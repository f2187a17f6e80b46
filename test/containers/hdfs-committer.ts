import { attemptOf, type MachineWish, tablesAt } from './hdfs-machine.ts'

/*
 * A process that commits to a table of a campaign in HDFS, for tests: hdfs-committer MACHINE FIRST COUNT. It says `ready`, waits until its input ends, makes
 * COUNT commits of one attempt each with the keys FIRST, FIRST + 2 …, some of them twice, as after an answer that was lost, and prints what versions it made.
 */
const [machine = '', first, count] = process.argv.slice(2)
const tables = await tablesAt(JSON.parse(machine) as MachineWish)
process.stdout.write('ready\n')
for await (const _ of process.stdin);
const versions: (number | undefined)[] = []
for (let i = 0; i < Number(count); i++) {
  const txn = { appId: `of ${first}`, version: i }
  const commit = { select: attemptOf(2 * i + Number(first)), operation: 'race', txn }
  versions.push(await tables.commit('attempts', commit))
  if (i % 25 === 0 && (await tables.commit('attempts', commit)) !== undefined) throw new Error(`${i} is there twice`)
}
process.stdout.write(`${JSON.stringify(versions)}\n`)
await tables.close()
