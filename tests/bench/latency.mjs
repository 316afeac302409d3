#!/usr/bin/env node
// Glass to glass: a clock is drawn into each frame before it is encoded, and read back from the page's canvas when Chromium
// shows the frame. Beside it, from the same run: where the time goes hop by hop, how soon a segment's first chunk can be
// fetched at the edge, and how long it takes from publish to playable and to the first picture. Then the other players one after the other,
// from the same edge: a table of all formats.
//
//   node tests/bench/latency.mjs [--seconds 60] [--json FILE]
import { spawn, execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createRequire } from 'node:module'

const top = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const { chromium } = createRequire(join(top, 'tests/pages/package.json'))('playwright-core')
const { values: args } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, json: { type: 'string' } },
})
const seconds = Number(args.seconds)
const size = [1280, 720], fps = 30
const CHROMIUM_FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--autoplay-policy=no-user-gesture-required']

const quantile = (xs, q) => {
  const sorted = [...xs].sort((a, b) => a - b)
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] : NaN
}

function publish(url) {
  const frames = (3 * (seconds + 30) + 60) * fps
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

// ---- the other players: a page with nothing but a video, from the same edge and the same minutes
const hlsjs = readFileSync(join(top, 'tests/pages/node_modules/hls.js/dist/hls.js'), 'utf8')
const others = {
  'tail.js, one answer a track': (page, stream) => page.evaluate(async (told) => {
    const { TailPlayer } = await import('/web/tail.js')
    const nothing = () => {}
    window.player = new TailPlayer(document.querySelector('video'), `/live/${told.id}/${told.session}/`, told,
      { started: nothing, ended: nothing, failed: (text) => console.error(text), rung: nothing })
  }, stream),
  'hls.js, low-latency HLS': async (page, stream) => {
    await page.addScriptTag({ content: hlsjs })
    await page.evaluate((id) => {
      const video = document.querySelector('video'), hls = window.hls = new window.Hls({ lowLatencyMode: true })
      hls.loadSource(`/live/${id}/master.m3u8`)
      hls.attachMedia(video)
      video.play().catch(() => {})
    }, stream.id)
  },
}

async function watch(browser, edge, stream, play) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, bypassCSP: true })
  const page = await context.newPage()
  page.on('console', (said) => said.type() === 'error' && console.log(said.text()))
  await page.goto(`${edge}/time`)
  await page.setContent('<video muted autoplay style="width: 1280px"></video>')
  await page.evaluate(watchFrames)
  const askedMs = Date.now()
  await play(page, stream)
  await until('first picture', 30000, () => page.evaluate(() => window.seen.first))
  const firstMs = (await page.evaluate(() => window.seen.first)) - askedMs
  await new Promise((r) => setTimeout(r, 15000)) // whoever began further back has caught up
  await page.evaluate(() => { window.seen.samples = []; window.seen.stalls = 0; window.seen.unreadable = 0 })
  await new Promise((r) => setTimeout(r, seconds * 1000))
  const seen = await page.evaluate(() => window.seen)
  await context.close()
  return { glass: seen.samples.map((s) => s[1]), stalls: seen.stalls, firstMs }
}

async function main() {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-latency-'))
  const local = (...more) => execFileSync(join(top, 'deploy/local'), [...more, '--dir', dir], { stdio: ['ignore', 'inherit', 'inherit'] })
  let publisher, browser
  try {
    local('up', '--while', String(process.pid), '--detach')
    const { nodes } = JSON.parse(readFileSync(join(dir, 'cluster.json'), 'utf8'))
    const edge = nodes.find((n) => n.role === 'edged').http, rtmp = nodes.find((n) => n.role === 'ingestd').rtmp

    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: CHROMIUM_FLAGS })
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
    await page.goto(`${edge}/watch/bench`)
    await page.waitForSelector('video', { state: 'attached' })
    await page.evaluate(watchFrames)

    const publishedMs = Date.now()
    publisher = publish(`${rtmp}/bench`)
    const listed = async () => (await (await fetch(`${edge}/api/streams`)).json()).streams.find((s) => s.id === 'bench' && s.tracks.length)
    const stream = await until('stream listed', 15000, listed)
    const tracks = stream.tracks.filter((t) => /^avc/.test(t.codec)).map((t) => t.name)
    const sessionPath = `/live/bench/${stream.session}`
    await until('first chunk', 15000, async () => (await fetch(`${edge}${sessionPath}/${tracks[0]}/0.m4s`)).ok)
    const playableMs = Date.now() - publishedMs
    const epochMs = Date.parse(stream.started)

    await until('first picture', 30000, () => page.evaluate(() => window.seen.first))
    const firstPictureMs = (await page.evaluate(() => window.seen.first)) - publishedMs
    const settle = Date.now() + 8000
    const stop = { now: false }
    const probing = probeHops(nodes, stream, epochMs, tracks[0], stop)
    await until('settled', 20000, async () => Date.now() > settle)
    await page.evaluate(() => { window.seen.samples = []; window.seen.stalls = 0; window.seen.unreadable = 0 })
    await new Promise((r) => setTimeout(r, seconds * 1000))
    const seen = await page.evaluate(() => window.seen)
    stop.now = true
    const hops = await probing
    for (const h of hops) {
      const offset = (await captureMs(edge, stream, stream.tracks.find((t) => /^avc/.test(t.codec)), h.segment, Date.now())) - epochMs - h.segment * 1000
      h.fetchable -= offset
      h.stored -= offset
    }
    await page.close()
    const rows = { "dash.js, the page's": { glass: seen.samples.map((s) => s[1]), stalls: seen.stalls, firstMs: NaN } }
    for (const [name, play] of Object.entries(others)) rows[name] = await watch(browser, edge, await listed(), play)
    report({ seen, hops, playableMs, firstPictureMs, rows })
  } finally {
    if (publisher) process.kill(-publisher.pid, 'SIGTERM')
    await browser?.close()
    local('down')
    rmSync(dir, { recursive: true, force: true })
  }
}

function report({ seen, hops, playableMs, firstPictureMs, rows }) {
  const glass = seen.samples.map((s) => s[1])
  const row = (name, xs, aim = '') => console.log(`${name.padEnd(48)} ${quantile(xs, 0.5).toFixed(0).padStart(6)} ` +
    `${quantile(xs, 0.95).toFixed(0).padStart(6)} ${Math.max(...xs).toFixed(0).padStart(6)}  ${aim}`)
  const heights = [...new Set(seen.samples.map((s) => s[2]))].sort((a, b) => b - a)
  console.log(`\n${glass.length} frames seen in ${seconds} s (${(glass.length / seconds).toFixed(1)} a second), heights ${heights.join(' ')}, ` +
    `${seen.unreadable} unreadable, ${seen.stalls} stalls`)
  console.log(`${'ms'.padEnd(48)} median    p95    max  aim`)
  row('glass to glass', glass, 'median 1200, p95 1600')
  row('first frame captured → first chunk at the edge', hops.map((h) => h.fetchable), 'median 350')
  row('  of it: → chunk made (ingest, 200 ms, encode)', hops.map((h) => h.stored - h.put))
  row('  of it: made → stored (PUT)', hops.map((h) => h.put))
  row('  of it: stored → client (edge)', hops.map((h) => h.edge))
  const edgeMs = quantile(hops.map((h) => h.fetchable), 0.5)
  console.log(`${'chunk at the edge → on screen (player)'.padEnd(48)} ${(quantile(glass, 0.5) - edgeMs).toFixed(0).padStart(6)}`)
  console.log(`${'publish → playable'.padEnd(48)} ${String(playableMs).padStart(6)}                aim 1000`)
  console.log(`${'publish → first picture (page open before)'.padEnd(48)} ${String(firstPictureMs).padStart(6)}                aim 2000`)
  console.log(`\n${'glass to glass, ms'.padEnd(34)} median    p95    max  stalls  frames  first picture`)
  for (const [name, r] of Object.entries(rows))
    console.log(`${name.padEnd(34)} ${[quantile(r.glass, 0.5), quantile(r.glass, 0.95), Math.max(...r.glass)].map((ms) => ms.toFixed(0).padStart(6)).join(' ')} ` +
      `${String(r.stalls).padStart(7)} ${String(r.glass.length).padStart(7)} ${Number.isNaN(r.firstMs) ? '' : String(r.firstMs).padStart(14)}`)
  if (args.json) writeFileSync(args.json, JSON.stringify({ glass, hops, playableMs, firstPictureMs, stalls: seen.stalls, rows }))
}

await main()
