// What the browser tests share: a cluster by deploy/local, a broadcaster, Chromium without a screen.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

export const top = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const local = join(top, 'deploy', 'local')
const LADDER = [{ video: [{ height: 360, kbps: 600 }, { height: 180, kbps: 300 }], audio: [{ kbps: 96 }] }]
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--autoplay-policy=no-user-gesture-required']

// Bounds are for a machine of its own; one that is busy with other things gets so many times as long, and this at least. Only a failure
// waits for it. What is to be so within a time, or else something is wrong, is told otherwise: by what came in between.
const PATIENCE = 6, LEAST_S = 180

export async function until(what, seconds, probe) {
  seconds = Math.max(LEAST_S, PATIENCE * seconds)
  const end = Date.now() + 1000 * seconds
  let trouble = ''
  for (;;) {
    try {
      const value = await probe()
      if (value) return value
    } catch (error) {
      trouble = ` (${error.message})`
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s${trouble}`)
    await new Promise((wake) => setTimeout(wake, 50))
  }
}

export class Cluster {
  // more for deploy/local: "role.key=value", "--edges=2"; a function among them is called before it begins, with the folder
  constructor(...given) {
    const sets = given.filter((one) => typeof one === 'string' && !one.startsWith('--'))
    const options = given.filter((one) => typeof one === 'string' && one.startsWith('--'))
    this.dir = mkdtempSync(join(tmpdir(), 'freshet-pages-'))
    for (const prepare of given) if (typeof prepare === 'function') prepare(this.dir)
    this.publishers = new Set()
    execFileSync(local, ['up', '--detach', '--dir', this.dir, '--while', String(process.pid),
      '--set', `transcoderd.ladder=${JSON.stringify(LADDER)}`, ...options, ...sets.flatMap((set) => ['--set', set])],
      { stdio: ['ignore', 'ignore', 'inherit'] })
    this.nodes = JSON.parse(readFileSync(join(this.dir, 'cluster.json'))).nodes
  }

  node(role) {
    return this.nodes.find((n) => n.role === role)
  }

  url(path) {
    return this.node('edged').http + path
  }

  // More of its configuration than could be known before it had its ports.
  configure(id, keys) {
    const file = join(this.dir, `${id}.json`)
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file)), ...keys }))
    this.local('stop', id)
    this.local('start', id)
  }

  // what: freeze, thaw, stop, kill, start
  local(what, node) {
    execFileSync(local, [what, node, '--dir', this.dir], { stdio: ['ignore', 'ignore', 'inherit'] })
  }

  // A moving picture and a tone; seconds: how long, or until stop().
  publish(stream, { seconds = 0, title = '' } = {}) {
    const log = openSync(join(this.dir, `publisher-${stream}.txt`), 'a')
    const child = spawn('ffmpeg', ['-hide_banner', '-nostdin', '-loglevel', 'warning',
      '-re', '-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=30', '-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
      '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-g', '30', '-c:a', 'aac',
      ...(seconds ? ['-t', String(seconds)] : []), ...(title ? ['-metadata', `title=${title}`] : []),
      '-f', 'flv', `${this.node('ingestd').rtmp}/${stream}`], { stdio: ['ignore', log, log] })
    this.publishers.add(child)
    const ended = new Promise((done) => child.once('exit', () => { this.publishers.delete(child); done() }))
    return { stop: () => { child.kill('SIGTERM'); return ended }, kill: () => { child.kill('SIGKILL'); return ended }, ended }
  }

  // The same with closed captions, another text every so many pictures, of 25 a second.
  publishCaptions(stream, seconds = 40, every = 25) {
    const file = join(this.dir, `${stream}.flv`)
    execFileSync('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25', '-f', 'lavfi', '-i', 'sine=frequency=440',
      '-t', String(seconds), '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-g', '25', '-c:a', 'aac', file])
    execFileSync('/usr/bin/python3', ['-c', 'import sys; sys.path.insert(0, sys.argv[1]); import media; media.add_captions(sys.argv[2], int(sys.argv[3]))',
      join(top, 'tests', 'system'), file, String(every)])
    this.publishers.add(spawn('ffmpeg', ['-v', 'error', '-nostdin', '-re', '-i', file, '-c', 'copy', '-f', 'flv',
      `${this.node('ingestd').rtmp}/${stream}`], { stdio: 'ignore' }))
  }

  // A picture, or sound alone, beside which something is said every 0.7 s: a text, and each fifth time a splice (test_cues.py). The film is encoded
  // once and goes round: of 10 pictures a second and of 48 kHz there are whole ones in 19.2 s.
  publishCues(stream, { seconds = 3600, soundOnly = false } = {}) {
    const file = join(this.dir, 'said.flv')
    if (!existsSync(file))
      execFileSync('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=10', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
        '-t', '19.2', '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-g', '10', '-c:a', 'aac', file])
    const say = `
import sys
sys.path.insert(0, sys.argv[1])
import rtmp, test_cues
kinds = (rtmp.AUDIO,) if sys.argv[4] == "true" else (rtmp.AUDIO, rtmp.VIDEO)
tags = [t for t in rtmp.flv_tags(sys.argv[2]) if t[0] in kinds]
first, round_ms = min(ms for _, ms, payload in tags if payload[1] == 1), 19200
heads, film = [t for t in tags if t[2][1] == 0], [t for t in tags if t[2][1] == 1 and t[1] < first + round_ms]
rounds = ((kind, ms + at, payload) for at in range(0, 1000 * int(sys.argv[5]), round_ms) for kind, ms, payload in film)
test_cues.Caster(sys.argv[3], heads + [t for t in rounds if t[1] < 1000 * int(sys.argv[5])]).join()`
    this.publishers.add(spawn('/usr/bin/python3', ['-c', say, join(top, 'tests', 'system'), file, `${this.node('ingestd').rtmp}/${stream}`, String(soundOnly),
      String(seconds)], { stdio: 'ignore' }))
  }

  // before: "/t/<token>" for a private stream
  async state(stream, before = '') {
    const { streams } = await (await fetch(this.url(`${before}/api/streams`))).json()
    return streams.find((s) => s.id === stream)
  }

  async playable(stream, before = '') {
    await until(`${stream} live`, 30, async () => (await this.state(stream, before))?.state === 'live')
    await until(`${stream}'s manifest`, 30, async () => (await fetch(this.url(`${before}/live/${stream}/manifest.mpd`))).ok)
    return this.state(stream, before)
  }

  down() {
    for (const child of this.publishers) child.kill('SIGKILL')
    execFileSync(local, ['down', '--dir', this.dir], { stdio: ['ignore', 'ignore', 'inherit'] })
    const bad = readdirSync(this.dir).filter((f) => f.endsWith('.log'))
      .filter((f) => /Sanitizer|runtime error:|Assertion .* failed/.test(readFileSync(join(this.dir, f), 'utf8')))
    if (bad.length) throw new Error(`reports in ${bad.map((f) => join(this.dir, f)).join(', ')}`)
    rmSync(this.dir, { recursive: true })
  }
}

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: FLAGS, timeout: 30000 * PATIENCE })

// For all that waits within Playwright.
export const patient = (page) => page.setDefaultTimeout(30000 * PATIENCE)

// A page that remembers what went wrong in it and which other hosts it asked.
export async function openPage(browser, cluster, path, options = {}) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  patient(page)
  page.faults = []
  page.strangers = []
  const own = new URL(cluster.url('')).host
  page.on('pageerror', (error) => page.faults.push(error.message))
  page.on('console', (said) => /Content.Security.Policy|Refused to/i.test(said.text()) && page.faults.push(said.text()))
  page.on('request', (request) => {
    const { host, protocol } = new URL(request.url())
    if (protocol.startsWith('http') && host !== own) page.strangers.push(request.url())
  })
  await page.goto(cluster.url(path))
  return page
}

// A page of the edge's origin for other players: nothing on it but a video, and no script of ours, which would miss what it knows.
export async function ground(browser, cluster, library = '') {
  const page = await openPage(browser, cluster, '/robots.txt', { bypassCSP: true })
  await page.setContent('<video id="v" muted autoplay controls></video>')
  if (library) await page.addScriptTag({ content: library })
  return page
}

// deploy/token
export const token = (...args) => execFileSync(join(top, 'deploy', 'token'), args, { encoding: 'utf8' }).trim()

// What a page has said aloud since this was called, and in whatever region: hear() first, then heard().
export const hear = (page) => page.evaluate(() => {
  window.heard = []
  for (const region of document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log]'))
    new MutationObserver(() => region.textContent.trim() && window.heard.push(region.textContent.trim()))
      .observe(region, { childList: true, characterData: true, subtree: true })
})
export const heard = (page) => page.evaluate(() => window.heard)

// For how long each caption is on show, in seconds of the video: watchCaptions() first, then captions().
export const watchCaptions = (page) => page.evaluate(() => {
  window.captions = {}
  const video = document.querySelector('video')
  setInterval(() => {
    for (const { mode, activeCues } of video.textTracks) {
      if (mode !== 'showing') continue
      for (const { text } of activeCues) (window.captions[text] ||= { from: video.currentTime }).until = video.currentTime
    }
  }, 50)
})
export const captions = (page) => page.evaluate(() =>
  Object.fromEntries(Object.entries(window.captions).map(([text, { from, until }]) => [text, until - from])))

export const metrics = (page) => page.evaluate(() => window.freshet.metrics())

export async function playing(page, seconds = 30) {
  await until('the page plays', seconds, async () => {
    const m = await metrics(page)
    return m.state === 'playing' && m.decodedFrames > 5 && m.width > 0
  })
}

// On one of the controls that lie on the picture: they go when no pointer moves, and on a busy machine that is before the click.
export async function clickControl(page, selector) {
  const { x, y } = await page.locator('video').boundingBox()
  let moves = 0
  await until(`a click on ${selector}`, 60, async () => {
    await page.mouse.move(x + 60 + ++moves % 2, y + 60)
    await page.click(selector, { timeout: 2500 * moves })
    return true
  })
}
