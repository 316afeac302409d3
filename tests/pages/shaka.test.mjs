// Other players on the same manifest: Shaka, and dash.js as it comes, know nothing of our page.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Cluster, ground, launch, top, until } from './harness.mjs'

const library = readFileSync(join(top, 'tests/pages/node_modules/shaka-player/dist/shaka-player.compiled.js'), 'utf8')
const dashjs = readFileSync(join(top, 'build/web/dash.js'), 'utf8')
let cluster, browser
before(async () => {
  cluster = new Cluster()
  browser = await launch()
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

async function shaka(path, configuration = {}) {
  const page = await ground(browser, cluster, library)
  await page.evaluate(async ({ manifest, configuration }) => {
    shaka.polyfill.installAll()
    const player = window.player = new shaka.Player()
    await player.attach(document.getElementById('v'))
    player.configure({ streaming: { lowLatencyMode: true } })
    player.configure(configuration)
    window.faults = []
    player.addEventListener('error', (e) => window.faults.push(String(e.detail.code)))
    await player.load(manifest)
    document.getElementById('v').play()
  }, { manifest: path, configuration })
  return page
}

const shown = (page) => page.evaluate(() => {
  const v = document.getElementById('v')
  return { frames: v.getVideoPlaybackQuality().totalVideoFrames, sound: v.webkitAudioDecodedByteCount, width: v.videoWidth, faults: window.faults,
    ended: v.ended, time: v.currentTime, rungs: window.player.getVariantTracks().map((t) => t.height).sort((a, b) => a - b) }
})

test('Shaka plays the live manifest, and has the rung that its connection carries', async () => {
  cluster.publish('shaka')
  await cluster.playable('shaka')
  // It begins with the lowest rung, for a link of 100 kbit/s, and looks every second whether it should have another.
  const page = await shaka('/live/shaka/manifest.mpd', { abr: { defaultBandwidthEstimate: 1e5, useNetworkInformation: false, switchInterval: 1 } })
  await until('ninety pictures and sound', 40, async () => {
    const now = await shown(page)
    return now.frames >= 90 && now.sound > 0 && now.width > 0
  })
  // By itself it measures how fast segments are made, 0.35 Mbit/s of this rung, and would never leave it.
  await until('the upper rung', 20, async () => (await shown(page)).width === 640)
  const { faults, rungs } = await shown(page)
  assert.deepEqual(faults, [])
  assert.deepEqual(rungs, [180, 360])
  assert.equal(await page.evaluate(() => window.player.getManifest().isLowLatency), true)
  await page.context().close()
})

test('Shaka plays the recording to its end', async () => {
  const publisher = cluster.publish('tape', { seconds: 4 })
  const { session } = await cluster.playable('tape')
  await publisher.ended
  await until('ended', 30, async () => (await cluster.state('tape'))?.state === 'ended')
  const page = await shaka(`/live/tape/${session}/manifest.mpd`)
  await until('the end', 40, async () => (await shown(page)).ended)
  const { frames, faults, time } = await shown(page)
  assert.deepEqual(faults, [])
  assert.ok(frames >= 110 && time > 3.8 && time < 4.5, `${frames} pictures, ended at ${time}`)
  await page.context().close()
})

// A jump of somebody who sees pictures, as by the bar of the browser's own controls: { from, to } once it was made. Not before: until dash.js
// (5.2.1) is where it begins it takes every jump for its own: it loads nothing for it, and goes on where it wanted to, or stands still.
const jump = (page, may, to) => until('pictures, and what a jump needs', 60, async () => page.evaluate(`(() => {
  const v = document.getElementById('v'), from = v.currentTime
  if (v.seeking || v.getVideoPlaybackQuality().totalVideoFrames < 30 || !(${may})(v, window.player)) return null
  v.currentTime = (${to})(v)
  return { from, to: v.currentTime }
})()`))

test('who knows files only plays the recording by them, dash.js and Shaka', async () => {
  const publisher = cluster.publish('files', { seconds: 9 })
  const { session } = await cluster.playable('files')
  await publisher.ended
  await until('ended', 60, async () => (await cluster.state('files'))?.state === 'ended')
  const manifest = `/live/files/${session}/ondemand.mpd`
  const told = await (await fetch(cluster.url(manifest))).text(), lasts = Number(/mediaPresentationDuration="PT([\d.]+)S"/.exec(told)[1])
  assert.ok(lasts > 8, told)
  const page = await ground(browser, cluster, dashjs), urls = new Set(), statuses = new Set()
  page.on('response', (r) => {
    if (!/\.mp4|\.m4s/.test(r.url())) return
    urls.add(new URL(r.url()).pathname)
    statuses.add(r.status())
  })
  await page.evaluate((url) => {
    window.player = window.dashjs.MediaPlayer().create()
    window.faults = []
    window.player.on('error', (e) => window.faults.push(String(e.error?.message)))
    window.player.initialize(document.getElementById('v'), url, true)
  }, manifest)
  await jump(page, () => true, (v) => v.duration * 2 / 3)
  const last = await until('the end', 60, () => page.evaluate(() => {
    const v = document.getElementById('v')
    return v.ended && { length: v.duration, faults: window.faults }
  }))
  assert.deepEqual(last.faults, [])
  assert.ok(Math.abs(last.length - lasts) < 0.5, `${last.length} s of ${lasts}`)
  assert.ok(urls.size > 1 && [...urls].every((path) => /\/[va]\d+\/ondemand\.\d+-\d+\.mp4$/.test(path)), [...urls].join())
  assert.deepEqual([...statuses], [206])
  await page.context().close()
  const other = await shaka(manifest)
  await until('the end', 60, async () => (await shown(other)).ended)
  const { faults, time } = await shown(other)
  assert.deepEqual(faults, [])
  assert.ok(Math.abs(time - lasts) < 0.5, `ended at ${time} of ${lasts}`)
  await other.context().close()
})

test('who goes back in live with dash.js as it comes stays there', async () => {
  if (!await cluster.state('shaka')) cluster.publish('shaka')
  await cluster.playable('shaka')
  const page = await ground(browser, cluster, dashjs)
  await page.evaluate((manifest) => {
    window.player = window.dashjs.MediaPlayer().create()
    window.player.initialize(document.getElementById('v'), manifest, true)
  }, '/live/shaka/manifest.mpd')
  // Beyond the 12 s that dash.js allows where the manifest says nothing, and not so near to the window's end that who stands still for
  // a moment on a busy machine is outside.
  const isNear = (v, player) => {
    const { start, end } = player.getDvrWindow() || {}
    return end - start > 20 && player.getCurrentLiveLatency() < 3
  }
  const { from, to } = await jump(page, isNear, (v) => v.currentTime - 13.5)
  const then = await until('two seconds are played there', 20, async () => {
    const now = await page.evaluate(() => ({ time: document.getElementById('v').currentTime, behind: window.player.getCurrentLiveLatency() }))
    return now.time > to + 2 ? now : null
  })
  assert.ok(then.behind > 6, `from ${from} to ${to}, thrown to ${then.time}, ${then.behind} s behind`)
  await page.context().close()
})
