import type { Tables } from '../ports/tables/tables.ts'
import { fill } from './fill.ts'
import type { Holdings } from './holdings.ts'

/** Where the inputs of temporary table `plan_inputs` (input, nodes, there, bytes) lie; nodes are numbered by their names. */
export async function readHoldings({ sql }: Tables): Promise<Holdings> {
  await sql.run(`create or replace temp table plan_held as
    select input, e.key as node, e.value::double as bytes
    from (select input, unnest(map_entries(nodes)) as e from plan_inputs where nodes is not null) where e.value > 0`)
  await sql.run(`create or replace temp table plan_nodes as
    select node, (row_number() over (order by node) - 1)::integer as n from (select distinct node from plan_held)`)
  const nodes = await sql.rows<{ node: string }>('select node from plan_nodes order by n')
  const [size] = await sql.rows<{ inputs: number; held: number }>(
    'select (select count(*) from plan_inputs)::double as inputs, (select count(*) from plan_held)::double as held',
  )
  const { inputs, held } = size!
  const readBytes = new Float64Array(inputs)
  await fill(sql.columns('select case when there then bytes else 0 end from plan_inputs order by input'), [readBytes])
  const inputOf = new Uint32Array(held)
  const holders = new Uint32Array(held)
  const bytes = new Float64Array(held)
  await fill(sql.columns('select input, n, bytes from plan_held join plan_nodes using (node) order by input, n'), [
    inputOf,
    holders,
    bytes,
  ])
  const offsets = new Uint32Array(inputs + 1)
  for (const input of inputOf) offsets[input + 1]!++
  for (let input = 0; input < inputs; input++) offsets[input + 1]! += offsets[input]!
  for (const table of ['plan_held', 'plan_nodes']) await sql.run(`drop table ${table}`)
  return { nodes: nodes.map(({ node }) => node), offsets, holders, bytes, readBytes }
}
