// webdriver.mjs - browsers of other makes without a screen, each driven by what it brings along: Firefox listens itself (Marionette),
// WebKitGTK has a driver of its own (WebKitWebDriver). Both know the commands of WebDriver, one by TCP, the other as requests of HTTP.
//
//   const browser = await firefox() or webkit()   a process, and one window → open(), run(), press(), picture() → close()
//
// What cannot be had is an exception with the browser's own word for it. Whoever opened a browser closes it, and all of its processes end
// with that.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './harness.mjs'

const FIREFOX = '/usr/bin/firefox-esr', WEBKIT = '/usr/bin/WebKitWebDriver', XVFB = '/usr/bin/Xvfb'
const SIZE = [1280, 900]

export const hasFirefox = () => existsSync(FIREFOX)
export const hasWebkit = () => existsSync(WEBKIT) && existsSync(XVFB)

// Marionette's name of a command, and WebDriver's. Their parameters are the same.
const COMMANDS = {
  open: ['WebDriver:Navigate', 'POST', '/url'],
  run: ['WebDriver:ExecuteScript', 'POST', '/execute/sync'],
  act: ['WebDriver:PerformActions', 'POST', '/actions'],
  picture: ['WebDriver:TakeScreenshot', 'GET', '/screenshot'],
}

const KEYS = { ArrowLeft: '\uE012', ArrowRight: '\uE014' }

class Browser {
  // send(command, parameters); end(): all of its processes
  constructor(send, version, end) {
    Object.assign(this, { send, version, end })
  }

  open(url) { return this.send('open', { url }) }

  // A function of the page; what it returns, or promises, comes back as JSON.
  run(call, ...args) { return this.send('run', { script: `return (${call})(...arguments)`, args }) }

  press(key) {
    const value = KEYS[key] || key
    return this.send('act', { actions: [{ type: 'key', id: 'keys', actions: [{ type: 'keyDown', value }, { type: 'keyUp', value }] }] })
  }

  async picture() { return Buffer.from(await this.send('picture', {}), 'base64') }

  close() { return this.end() }
}

// ---- processes

// Its group ends with end(), and it with this process, however that ends.
function start(program, args, env, log) {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args],
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { ...process.env, ...env } })
  child.said = ''
  for (const out of [child.stdout, child.stderr]) out.on('data', (bytes) => { child.said = (child.said + bytes).slice(-20000) })
  const ended = new Promise((done) => child.once('exit', done))
  child.end = () => {
    try { process.kill(-child.pid, 'SIGKILL') } catch { /* it has ended by itself */ }
    return ended
  }
  return child
}

const alive = (child) => {
  if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended: ${child.said}`)
  return true
}

const freePort = () => new Promise((done) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address()
    probe.close(() => done(port))
  })
})

// ---- Firefox

const PREFERENCES = {
  'marionette.port': 0, // which it writes into its profile
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  'app.update.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'extensions.getAddons.cache.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'http://127.0.0.1:9/',
  'toolkit.telemetry.enabled': false,
  'toolkit.telemetry.reportingpolicy.firstRun': false,
}

// Messages are LENGTH:JSON; ours [0, number, name, parameters], its answers [1, number, error, result].
async function marionette(port) {
  const socket = connect(port, '127.0.0.1'), waiting = new Map()
  let held = Buffer.alloc(0), last = 0
  const fail = (error) => {
    for (const { no } of waiting.values()) no(error)
    waiting.clear()
  }
  const read = (message) => {
    if (!Array.isArray(message)) return // its greeting
    const [, number, error, result] = message, { yes, no } = waiting.get(number)
    waiting.delete(number)
    if (error) no(new Error(`${error.error}: ${error.message}`))
    else yes(result && 'value' in result ? result.value : result)
  }
  socket.on('data', (bytes) => {
    held = Buffer.concat([held, bytes])
    for (;;) {
      const colon = held.indexOf(':'), end = colon + 1 + Number(held.subarray(0, Math.max(0, colon)))
      if (colon < 0 || held.length < end) return
      read(JSON.parse(held.subarray(colon + 1, end)))
      held = held.subarray(end)
    }
  })
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('the browser is gone')))
  await new Promise((yes, no) => socket.once('connect', yes).once('error', no))
  const ask = (name, parameters) => new Promise((yes, no) => {
    const body = Buffer.from(JSON.stringify([0, ++last, name, parameters]))
    waiting.set(last, { yes, no })
    socket.write(Buffer.concat([Buffer.from(`${body.length}:`), body]))
  })
  return { ask, close: () => socket.destroy() }
}

export async function firefox() {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-firefox-'))
  const lines = Object.entries(PREFERENCES).map(([name, value]) =>
    `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`)
  writeFileSync(join(dir, 'user.js'), lines.join('\n'))
  const child = start(FIREFOX,
    ['--headless', '--no-remote', '--profile', dir, '--marionette', `--width=${SIZE[0]}`, `--height=${SIZE[1]}`],
    { HOME: dir, MOZ_CRASHREPORTER_DISABLE: '1' })
  let talk = null
  const end = async () => {
    talk?.close()
    await child.end()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    const file = join(dir, 'MarionetteActivePort')
    const port = await until('Firefox listens', 60, () => alive(child) && existsSync(file) && Number(readFileSync(file, 'utf8')))
    talk = await marionette(port)
    const { capabilities } = await talk.ask('WebDriver:NewSession', { capabilities: { alwaysMatch: {} } })
    return new Browser((command, parameters) => talk.ask(COMMANDS[command][0], parameters), capabilities.browserVersion, end)
  } catch (error) {
    await end()
    throw new Error(`Firefox: ${error.message}`)
  }
}

// ---- WebKitGTK

async function ask(base, method, path, parameters) {
  const body = method === 'GET' ? undefined : JSON.stringify(parameters)
  const answer = await fetch(base + path, { method, body, headers: { 'Content-Type': 'application/json' } })
  const { value } = await answer.json()
  if (!answer.ok) throw new Error(`${value?.error}: ${value?.message}`)
  return value
}

export async function webkit() {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-webkit-'))
  const screen = start(XVFB, ['-displayfd', '1', '-screen', '0', `${SIZE.join('x')}x24`, '-nolisten', 'tcp', '-noreset'], {})
  let driver = null
  const end = async () => {
    await driver?.end()
    await screen.end()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    const display = await until('Xvfb has a screen', 60, () => alive(screen) && screen.said.match(/^(\d+)$/m)?.[1])
    const port = await freePort()
    driver = start(WEBKIT, [`--port=${port}`, '--host=127.0.0.1'], { HOME: dir, DISPLAY: `:${display}`, GDK_BACKEND: 'x11',
      NO_AT_BRIDGE: '1',
      DBUS_SESSION_BUS_ADDRESS: 'disabled:', LIBGL_ALWAYS_SOFTWARE: '1', WEBKIT_GST_ENABLE_HLS_SUPPORT: '1' })
    const base = `http://127.0.0.1:${port}`
    await until('WebKitWebDriver listens', 60, () => alive(driver) && ask(base, 'GET', '/status'))
    const wanted = { browserName: 'MiniBrowser', 'webkitgtk:browserOptions':
      { binary: '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser', args: ['--automation'] } }
    const { sessionId, capabilities } = await ask(base, 'POST', '/session', { capabilities: { alwaysMatch: wanted } })
    const session = `${base}/session/${sessionId}`
    const send = (command, parameters) => ask(session, COMMANDS[command][1], COMMANDS[command][2], parameters)
    return new Browser(send, capabilities.browserVersion, async () => {
      await ask(session, 'DELETE', '', {}).catch(() => {})
      await end()
    })
  } catch (error) {
    await end()
    throw new Error(`WebKitGTK: ${error.message}: ${driver?.said ?? screen.said}`)
  }
}
