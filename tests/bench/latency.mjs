#!/usr/bin/env node
// Glass to glass: a clock is drawn into each frame before it is encoded, and read back from the page's canvas when Chromium
// shows the frame. Beside it, from the same run: where the time goes hop by hop, how soon a segment's first chunk can be
// fetched at the edge, and how long it takes from publish to playable, and from a click on the home page to the first picture. Then the other
// players one after the other, from the same edge: a table of all formats, each with its aim.
//
//   node tests/bench/latency.mjs [--seconds 60] [--visits 5] [--only page,tail,…] [--json FILE] [--set role.key=value]…
import { spawn, execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { LossyLink } from './lossy_link.mjs'

const top = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const { chromium } = createRequire(join(top, 'tests/pages/package.json'))('playwright-core')
const { values: args } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, visits: { type: 'string', default: '5' }, only: { type: 'string' }, json: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] } },
})
const seconds = Number(args.seconds), visits = Number(args.visits)
const SETTLE_MS = 15000 // whoever began further back has caught up
const LINK = { rttMs: 40, lossPpm: 10000 }
const TAIL_MS = args.set.includes('transcoderd.chunk_ms=100') ? 350 : 450
const size = [1280, 720], fps = 30
const CHROMIUM_FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--autoplay-policy=no-user-gesture-required']

const quantile = (xs, q) => {
  const sorted = [...xs].sort((a, b) => a - b)
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] : NaN
}

function publish(url) {
  const frames = 24 * 3600 * fps // it is ended when all is seen
  const command = `exec ${top}/build/release/tools/stamp write --size ${size.join('x')} --fps ${fps} --frames ${frames} --pace | ` +
    `exec ffmpeg -v error -fflags nobuffer -probesize 32 -f rawvideo -pix_fmt yuv420p -video_size ${size.join('x')} ` +
    `-framerate ${fps} -i - -f lavfi -i sine=frequency=440:sample_rate=48000 -c:v libx264 -preset ultrafast -tune zerolatency ` +
    `-b:v 3M -g ${fps * 2} -c:a aac -b:a 96k -flush_packets 1 -f flv ${url}`
  return spawn('bash', ['-c', command], { stdio: ['ignore', 'inherit', 'inherit'], detached: true })
}

async function until(what, deadlineMs, probe) {
  const end = Date.now() + deadlineMs
  for (;;) {
    const got = await probe().catch(() => null)
    if (got) return got
    if (Date.now() > end) throw new Error(`${what}: not within ${deadlineMs} ms`)
    await new Promise((r) => setTimeout(r, 10))
  }
}

// ---- the page's side: every frame that is shown is drawn small and its two rows of blocks are read (tests/tools/stamp.c)
function watchFrames() {
  const BLOCKS = 34
  const video = document.querySelector('video')
  if (!video || window.seen) return
  const canvas = document.createElement('canvas')
  const read = (pixels, width, height, row) => {
    let bits = ''
    const y = Math.floor(height * (row + 0.5) / 15)
    for (let b = 0; b < BLOCKS; b++) {
      const x = Math.floor(width * (b + 0.5) / BLOCKS)
      bits += pixels[4 * (y * width + x)] > 125 ? '1' : '0'
    }
    let sum = 0x2a
    const value = parseInt(bits.slice(2, 26), 2)
    for (let v = value; v; v >>= 6) sum = (sum * 5 + (v & 63)) & 63
    return bits.startsWith('10') && bits.endsWith('01') && sum === parseInt(bits.slice(26, 32), 2) ? value : null
  }
  window.seen = { samples: [], unreadable: 0, stalls: 0, first: 0 }
  video.addEventListener('waiting', () => { if (window.seen.samples.length > 30) window.seen.stalls++ })
  const each = () => {
    video.requestVideoFrameCallback(each)
    const shown = Date.now()
    const height = Math.ceil(video.videoHeight * 2 / 15)
    if (!video.videoWidth) return
    canvas.width = video.videoWidth
    canvas.height = height
    const ctx = canvas.getContext('2d', { willReadFrequently: true })
    ctx.drawImage(video, 0, 0, canvas.width, height, 0, 0, canvas.width, height)
    const pixels = ctx.getImageData(0, 0, canvas.width, height).data
    const whole = video.videoHeight
    const number = read(pixels, canvas.width, whole, 0), clock = read(pixels, canvas.width, whole, 1)
    if (number === null || clock === null) { window.seen.unreadable++; return }
    window.seen.first ||= shown
    window.seen.samples.push([number, ((shown & 0xffffff) - clock + 0x1000000) & 0xffffff, video.videoHeight, shown])
  }
  video.requestVideoFrameCallback(each)
}

// ---- hop by hop, as an HTTP client sees it: the same segment from the origin and from the edge, piece by piece
function hasWholeChunk(bytes) {
  for (let at = 0; at + 8 <= bytes.length;) {
    const len = bytes.readUInt32BE(at)
    if (len < 8 || at + len > bytes.length) return false
    if (bytes.toString('latin1', at + 4, at + 8) === 'mdat') return true
    at += len
  }
  return false
}

async function firstChunkMs(base, path, segment) {
  const response = await fetch(`${base}${path}/${segment}.m4s`)
  if (response.status !== 200) return null
  let bytes = Buffer.alloc(0), firstMs = null
  for await (const piece of response.body) {
    bytes = Buffer.concat([bytes, piece])
    if (firstMs === null && hasWholeChunk(bytes)) firstMs = Date.now()
  }
  return firstMs
}

// The mean time from a chunk made to a chunk stored, since the last call.
async function putMs(admin, before) {
  const text = await (await fetch(`${admin}/metrics`)).text()
  const read = (name) => Number(new RegExp(`^transcoderd_put_seconds_${name} (\\S+)`, 'm').exec(text)?.[1] ?? NaN)
  const now = { sum: read('sum'), count: read('count') }
  const ms = 1000 * (now.sum - before.sum) / Math.max(1, now.count - before.count)
  Object.assign(before, now)
  return ms
}

async function probeHops(nodes, stream, epochMs, track, stop) {
  const samples = [], put = { sum: 0, count: 0 }
  const at = (role, key) => nodes.find((n) => n.role === role)[key]
  const path = `/live/${stream.id}/${stream.session}/${track}`
  for (let segment = Math.floor((Date.now() - epochMs) / 1000) + 2; !stop.now; segment++) {
    const [origin, edge, stored] = await Promise.all([firstChunkMs(at('originD', 'http'), path, segment),
      firstChunkMs(at('edged', 'http'), path, segment), putMs(at('transcoderd', 'admin'), put)])
    const startMs = epochMs + segment * 1000
    if (origin && edge) samples.push({ segment, fetchable: edge - startMs, stored: origin - startMs, edge: edge - origin, put: stored })
  }
  return samples
}

// Media time runs from the first keyframe's arrival. How long before that a segment's first frame was captured, its own
// drawn clock says: decoded once, from the highest rung.
async function captureMs(edge, stream, track, segment, nowMs) {
  const path = `${edge}/live/${stream.id}/${stream.session}/${track.name}`
  const parts = await Promise.all(['init.mp4', `${segment}.m4s`].map(async (name) => Buffer.from(await (await fetch(`${path}/${name}`)).arrayBuffer())))
  const command = `ffmpeg -v error -i - -frames:v 1 -f rawvideo -pix_fmt gray - | ${top}/build/release/tools/stamp read --size ${track.width}x${track.height}`
  // ffmpeg leaves after its picture, perhaps before it was given all: that is EPIPE, and no error.
  const { stdout } = spawnSync('bash', ['-c', command], { input: Buffer.concat(parts) })
  const clock = Number(stdout.toString().split(' ')[1])
  return nowMs - (((nowMs & 0xffffff) - clock + 0x1000000) & 0xffffff)
}

// ---- players

const moduleOf = (name) => readFileSync(join(top, 'tests/pages/node_modules', name), 'utf8')
const libraries = { hls: moduleOf('hls.js/dist/hls.js'), shaka: moduleOf('shaka-player/dist/shaka-player.compiled.js') }

// As docs/operations.md has them for who wants to be near the camera.
const HLS_NEAR = { maxLiveSyncPlaybackRate: 1.1, liveSyncOnStallIncrease: 0.2, abrEwmaDefaultEstimate: 5e6, testBandwidth: false }
const SHAKA_NEAR = { streaming: { liveSync: { enabled: true, targetLatency: 0.1, targetLatencyTolerance: 0.05, maxPlaybackRate: 1.1, minPlaybackRate: 0.96 } } }

const playHls = (settings) => async (page, stream) => {
  await page.addScriptTag({ content: libraries.hls })
  return page.evaluate(({ id, settings }) => {
    const video = document.querySelector('video'), hls = new window.Hls(settings), askedMs = Date.now()
    hls.loadSource(`/live/${id}/master.m3u8`)
    hls.attachMedia(video)
    video.play().catch(() => {})
    return askedMs
  }, { id: stream.id, settings })
}

const playShaka = (settings) => async (page, stream) => {
  await page.addScriptTag({ content: libraries.shaka })
  return page.evaluate(async ({ id, settings }) => {
    const video = document.querySelector('video'), player = new window.shaka.Player(), askedMs = Date.now()
    window.shaka.polyfill.installAll()
    await player.attach(video)
    player.configure(settings)
    await player.load(`/live/${id}/manifest.mpd`)
    video.play().catch(() => {})
    return askedMs
  }, { id: stream.id, settings })
}

const playTail = (page, stream) => page.evaluate(async (told) => {
  const { TailPlayer } = await import('/web/tail.js'), nothing = () => {}, askedMs = Date.now()
  window.player = new TailPlayer(document.querySelector('video'), `/live/${told.id}/${told.session}/`, told,
    { started: nothing, ended: nothing, failed: (text) => console.error(text), rung: nothing })
  return askedMs
}, stream)

// A reader without a screen: the moment that ffmpeg has decoded a frame.
const readWithFfmpeg = (path, options = '') => async (edge, stream) => {
  const track = stream.tracks.find((t) => /^avc/.test(t.codec)), url = `${edge}/live/${stream.id}/${path(stream, track)}`
  const command = `exec ffmpeg -v fatal -nostdin -fflags nobuffer -flags low_delay ${options} -i ${url} -map 0:v:0 -an -fps_mode passthrough -f rawvideo ` +
    `-pix_fmt gray - | exec ${top}/build/release/tools/stamp read --size ${track.width}x${track.height}`
  const reader = spawn('bash', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  const askedMs = Date.now(), glass = []
  let firstMs = NaN
  createInterface({ input: reader.stdout }).on('line', (line) => {
    const nowMs = Date.now(), clock = Number(line.split(' ')[1])
    if (Number.isNaN(firstMs)) firstMs = nowMs - askedMs
    if (nowMs - askedMs > SETTLE_MS && Number.isFinite(clock)) glass.push(((nowMs & 0xffffff) - clock + 0x1000000) & 0xffffff)
  })
  await new Promise((r) => setTimeout(r, SETTLE_MS + seconds * 1000))
  process.kill(-reader.pid, 'SIGTERM')
  return { glass, stalls: NaN, firstMs }
}

// aim: ms in the median and of 95 in 100, and how often the picture may stand still. page: our own, opened by a click on the home page
const players = [
  { key: 'page', name: "dash.js, the page's", page: true, aim: { p50: 800, p95: 1000, stalls: 0, first: 300 } },
  { key: 'page-lossy', name: `  the same, ${LINK.rttMs} ms away, ${LINK.lossPpm / 10000} % lost`, page: true, lossy: true, aim: { p95: 1500, stalls: 1 } },
  { key: 'near', name: "tail.js, the page's", page: true, near: true, aim: { p50: TAIL_MS, stalls: 0, first: 200 } },
  { key: 'near-lossy', name: `  the same, ${LINK.rttMs} ms away, ${LINK.lossPpm / 10000} % lost`, page: true, near: true, lossy: true, aim: {} },
  { key: 'tail', name: 'tail.js by itself', play: playTail, aim: { p50: TAIL_MS, stalls: 0, first: 200 } },
  { key: 'hls', name: 'hls.js as it comes', play: playHls({}), aim: {} },
  { key: 'hls-near', name: 'hls.js, set to be near', play: playHls(HLS_NEAR), aim: { p50: 1300 } },
  { key: 'shaka', name: 'Shaka as it comes', play: playShaka({}), aim: {} },
  { key: 'shaka-near', name: 'Shaka, set to be near', play: playShaka(SHAKA_NEAR), aim: { p50: 1100 } },
  { key: 'ffmpeg-tail', name: 'ffmpeg, tail', read: readWithFfmpeg((stream, track) => `${stream.session}/${track.name}/tail`, '-probesize 32k'), aim: {} },
  { key: 'ffmpeg-dash', name: 'ffmpeg, DASH', read: readWithFfmpeg(() => 'manifest.mpd'), aim: {} },
  { key: 'ffmpeg-hls', name: 'ffmpeg, HLS', read: readWithFfmpeg((stream, track) => `${stream.session}/${track.name}/media.m3u8`, '-live_start_index -1'), aim: {} },
]
const wanted = args.only ? players.filter((p) => args.only.split(',').includes(p.key)) : players
if (!wanted.length) throw new Error(`--only: there are ${players.map((p) => p.key).join(', ')}`)

async function openContext(browser, near) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, bypassCSP: true })
  await context.addInitScript(`document.addEventListener('readystatechange', ${watchFrames})`)
  await context.addInitScript((near) => {
    if (near) localStorage.setItem('freshet', JSON.stringify({ near }))
    window.addEventListener('click', () => sessionStorage.setItem('clickedMs', Date.now()), true)
  }, Boolean(near))
  return context
}

// From a click on the home page to the first picture, in a browser that has loaded nothing but the home page.
async function visit(browser, edge, { near }) {
  const context = await openContext(browser, near), page = await context.newPage()
  await page.goto(`${edge}/`, { waitUntil: 'networkidle' }) // whoever chooses a card takes longer than that
  await page.click('a[href*="/watch/bench"]', { timeout: 15000 })
  const firstMs = await until('first picture', 30000, () => page.evaluate(() => window.seen?.first && window.seen.first - Number(sessionStorage.getItem('clickedMs'))))
  return { context, page, firstMs }
}

async function play(browser, edge, stream, player) {
  const context = await openContext(browser), page = await context.newPage()
  page.on('console', (said) => said.type() === 'error' && !/404/.test(said.text()) && console.log(said.text()))
  await page.goto(`${edge}/time`)
  await page.setContent('<video muted autoplay style="width: 1280px"></video>')
  await page.evaluate(watchFrames)
  const askedMs = await player.play(page, stream)
  await until('first picture', 30000, () => page.evaluate(() => window.seen.first))
  return { context, page, firstMs: (await page.evaluate(() => window.seen.first)) - askedMs }
}

async function watchFor(page) {
  await new Promise((r) => setTimeout(r, SETTLE_MS))
  await page.evaluate(() => { window.seen.samples = []; window.seen.stalls = 0; window.seen.unreadable = 0 })
  await new Promise((r) => setTimeout(r, seconds * 1000))
  const { samples, stalls, unreadable } = await page.evaluate(() => window.seen)
  return { glass: samples.map((s) => s[1]), heights: [...new Set(samples.map((s) => s[2]))], stalls, unreadable }
}

async function measure(browser, edge, stream, player) {
  if (player.read) return player.read(edge, stream)
  const firsts = []
  for (let n = 1; player.page && !player.lossy && n < visits; n++) {
    const { context, firstMs } = await visit(browser, edge, player)
    firsts.push(firstMs)
    await context.close()
  }
  const { context, page, firstMs } = player.page ? await visit(browser, edge, player) : await play(browser, edge, stream, player)
  const seen = await watchFor(page)
  await context.close()
  return { ...seen, firstMs: quantile([...firsts, firstMs], 0.5) }
}

// ---- the run

async function measureFirstBroadcast(nodes, edge, rtmp, browser, publish) {
  const page = await (await openContext(browser)).newPage()
  await page.goto(`${edge}/watch/bench`)
  const publishedMs = Date.now()
  publish(`${rtmp}/bench`)
  const stream = await until('stream listed', 30000, () => listed(edge))
  const video = stream.tracks.filter((t) => /^avc/.test(t.codec)).map((t) => t.name)
  await until('first chunk', 15000, async () => (await fetch(`${edge}/live/bench/${stream.session}/${video[0]}/0.m4s`)).ok)
  const playableMs = Date.now() - publishedMs
  const firstPictureMs = (await until('first picture', 30000, () => page.evaluate(() => window.seen?.first))) - publishedMs
  await page.context().close()
  return { stream, playableMs, firstPictureMs }
}

const listed = async (edge) => (await (await fetch(`${edge}/api/streams`)).json()).streams.find((s) => s.id === 'bench' && s.tracks.length)

async function measureHops(nodes, edge, stream) {
  const epochMs = Date.parse(stream.started), track = stream.tracks.find((t) => /^avc/.test(t.codec)), stop = { now: false }
  const probing = probeHops(nodes, stream, epochMs, track.name, stop)
  await new Promise((r) => setTimeout(r, Math.min(seconds, 30) * 1000))
  stop.now = true
  const hops = await probing
  for (const h of hops) {
    const offset = (await captureMs(edge, stream, track, h.segment, Date.now())) - epochMs - h.segment * 1000
    h.fetchable -= offset
    h.stored -= offset
  }
  return hops
}

async function main() {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-latency-'))
  const local = (...more) => execFileSync(join(top, 'deploy/local'), [...more, '--dir', dir], { stdio: ['ignore', 'ignore', 'inherit'] })
  let publisher, browser, far, link
  try {
    local('up', '--while', String(process.pid), '--detach', ...args.set.flatMap((set) => ['--set', set]))
    const { nodes } = JSON.parse(readFileSync(join(dir, 'cluster.json'), 'utf8'))
    const edge = nodes.find((n) => n.role === 'edged').http, rtmp = nodes.find((n) => n.role === 'ingestd').rtmp
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: CHROMIUM_FLAGS })
    const begun = await measureFirstBroadcast(nodes, edge, rtmp, browser, (url) => { publisher = publish(url) })
    if (wanted.some((p) => p.lossy)) {
      link = await LossyLink.open(Number(new URL(edge).port), LINK)
      if (link) far = await launchBehind(link, dir)
    }
    const hops = await measureHops(nodes, edge, begun.stream)
    for (const player of wanted.filter((p) => link || !p.lossy)) {
      player.seen = await measure(player.lossy ? far : browser, player.lossy ? link.base : edge, await listed(edge), player)
      console.error(rowOf(player))
    }
    report({ ...begun, hops })
  } finally {
    await browser?.close()
    await far?.close()
    await link?.close()
    if (publisher) process.kill(-publisher.pid, 'SIGTERM')
    local('down')
    rmSync(dir, { recursive: true, force: true })
  }
}

// Playwright starts one program and gives it arguments of its own.
async function launchBehind(link, dir) {
  const script = join(dir, 'chromium')
  writeFileSync(script, `#!/bin/sh\nexec ${link.wrap(['/usr/bin/chromium']).join(' ')} "$@"\n`, { mode: 0o755 })
  return chromium.launch({ executablePath: script, args: CHROMIUM_FLAGS })
}

const judged = (value, aim) => (aim === undefined || Number.isNaN(value) ? '' : value <= aim ? 'kept' : 'missed')

function rowOf({ name, aim, seen }) {
  const { glass, stalls, firstMs } = seen, p50 = quantile(glass, 0.5), p95 = quantile(glass, 0.95), most = glass.reduce((a, b) => Math.max(a, b), 0)
  const aims = [['median', p50, aim.p50], ['p95', p95, aim.p95], ['stalls', stalls, aim.stalls], ['first', firstMs, aim.first]]
    .filter(([, , of]) => of !== undefined).map(([what, value, of]) => `${what} ${of} ${judged(value, of)}`).join(', ')
  const figure = (value, width) => (Number.isNaN(value) ? '-' : value.toFixed(0)).padStart(width)
  return `${name.padEnd(38)} ${figure(p50, 6)} ${figure(p95, 6)} ${figure(most, 6)} ${figure(stalls, 7)} ${String(glass.length).padStart(7)} ${figure(firstMs, 8)}  ${aims}`
}

function report({ stream, hops, playableMs, firstPictureMs }) {
  const row = (name, xs, aim = '') => console.log(`${name.padEnd(48)} ${quantile(xs, 0.5).toFixed(0).padStart(6)} ` +
    `${quantile(xs, 0.95).toFixed(0).padStart(6)} ${Math.max(...xs).toFixed(0).padStart(6)}  ${aim}`)
  console.log(`\n${'ms'.padEnd(48)} median    p95    max  aim`)
  row('first frame captured → first chunk at the edge', hops.map((h) => h.fetchable), 'median 350')
  row('  of it: → chunk made (ingest, 200 ms, encode)', hops.map((h) => h.stored - h.put))
  row('  of it: made → stored (PUT)', hops.map((h) => h.put))
  row('  of it: stored → client (edge)', hops.map((h) => h.edge))
  console.log(`${'publish → playable'.padEnd(48)} ${String(playableMs).padStart(6)}                1000 ${judged(playableMs, 1000)}`)
  console.log(`${'publish → first picture (page open before)'.padEnd(48)} ${String(firstPictureMs).padStart(6)}                2000 ${judged(firstPictureMs, 2000)}`)
  console.log(`\n${'glass to glass, ms'.padEnd(38)} median    p95    max  stalls  frames    first  aim`)
  for (const player of wanted) if (player.seen) console.log(rowOf(player))
  console.log('first: from a click on the home page to the first picture, median of the visits; of the others, from being told to play')
  if (args.json)
    writeFileSync(args.json, JSON.stringify({ stream, hops, playableMs, firstPictureMs, rows: Object.fromEntries(wanted.map((p) => [p.key, p.seen])) }))
}

await main()
