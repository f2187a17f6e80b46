// Another's client of WebHDFS, to read back what floe wrote, and to write what floe reads: node webhdfs-client.mjs ADDRESS get|put PATH
// All hosts of the cluster are on this machine's loopback.
import dns from 'node:dns'
import webhdfs from 'webhdfs'

const [address, verb, path] = process.argv.slice(2)
const { lookup } = dns
dns.lookup = (_, ...rest) => lookup('127.0.0.1', ...rest)
const { hostname, port } = new URL(address)
const client = webhdfs.createClient({ user: 'root', host: hostname, port: Number(port), path: '/webhdfs/v1' })
const stream = verb === 'get' ? client.createReadStream(path) : client.createWriteStream(path)
stream.on('error', (error) => {
  throw error
})
if (verb === 'get') stream.pipe(process.stdout)
else process.stdin.pipe(stream)
