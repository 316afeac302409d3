// lossy_link.mjs - a viewer's network namespace that is far from the edge and loses packets (tests/tools/lossy_switch.c).
//
//   const link = await LossyLink.open(edgePort, { rttMs: 40, lossPpm: 10000 })   null: the kernel or our rights do not allow it
//   link.base        the edge's address there; link.wrap(argv): a command's words that run it there
//   await link.close()
// The edge listens on the loopback of this namespace, so what arrives by the link is handed on to it here.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SWITCH = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'build/release/tools/lossy_switch')
const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })

export class LossyLink {
  static async open(edgePort, { rttMs, lossPpm }) {
    const link = new LossyLink()
    try {
      await link.wire(edgePort, rttMs, lossPpm)
      return link
    } catch (error) {
      console.error(`no lossy link: ${error.message.split('\n')[0]}`)
      await link.close()
      return null
    }
  }

  async wire(edgePort, rttMs, lossPpm) {
    const id = process.pid % 100000, subnet = `198.19.${process.pid % 256}`, devices = [`f${id}l0`, `f${id}l1`]
    ip('netns', 'add', `freshet-${process.pid}-viewer`)
    this.namespace = `freshet-${process.pid}-viewer`
    this.switch = spawn(SWITCH, ['1', ...devices], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.switch.on('error', () => {}) // its output ends, too
    await this.said()
    ip('link', 'set', devices[1], 'netns', this.namespace)
    ip('-n', this.namespace, 'link', 'set', 'lo', 'up')
    for (const [n, inside] of [[0, []], [1, ['-n', this.namespace]]]) {
      ip(...inside, 'addr', 'add', `${subnet}.${n + 1}/24`, 'dev', devices[n])
      ip(...inside, 'link', 'set', devices[n], 'up')
    }
    this.switch.stdin.write(`path 0 1 ${rttMs / 2} ${lossPpm} 0\n`)
    await this.said()
    this.server = createServer({ noDelay: true }, (viewer) => {
      const edge = connect({ port: edgePort, host: '127.0.0.1', noDelay: true })
      for (const [from, to] of [[viewer, edge], [edge, viewer]]) {
        from.pipe(to)
        from.on('error', () => to.destroy())
      }
    })
    this.server.listen(edgePort, `${subnet}.1`)
    await once(this.server, 'listening')
    this.base = `http://${subnet}.1:${edgePort}`
  }

  async said() {
    const [text] = await Promise.race([once(this.switch.stdout, 'data'), once(this.switch, 'close')])
    if (!/^(ready|ok)/.test(String(text))) throw new Error('the switch makes no devices')
  }

  wrap(argv) { return ['ip', 'netns', 'exec', this.namespace, ...argv] }

  async close() {
    this.server?.close()
    if (this.switch?.exitCode === null) {
      this.switch.stdin.end()
      await once(this.switch, 'close')
    }
    if (this.namespace) ip('netns', 'del', this.namespace)
  }
}
