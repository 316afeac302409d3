// hls.js and Shaka play what the page's player plays, from the same chunks: low latency by blocking reload and parts, then the recording. And a
// strict parser of playlists reads all kinds of them.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import * as HLS from 'hls-parser'
import { Cluster, ground, launch, top, until } from './harness.mjs'

const hlsjs = readFileSync(join(top, 'tests/pages/node_modules/hls.js/dist/hls.js'), 'utf8')
const shakajs = readFileSync(join(top, 'tests/pages/node_modules/shaka-player/dist/shaka-player.compiled.js'), 'utf8')
let cluster, browser
before(async () => {
  cluster = new Cluster()
  browser = await launch()
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

async function play(stream, config = {}) {
  const page = await ground(browser, cluster, hlsjs)
  const asked = []
  page.on('response', (answer) => asked.push([answer.url(), answer.status()]))
  await page.evaluate(([url, more]) => {
    const v = document.getElementById('v'), hls = window.hls = new Hls({ ...more })
    window.faults = []
    hls.on(Hls.Events.ERROR, (_, e) => (e.fatal || /parsing|levelParsing/i.test(e.details)) && window.faults.push(`${e.details} ${e.error?.message ?? ''}`))
    hls.loadSource(url)
    hls.attachMedia(v)
  }, [`/live/${stream}/master.m3u8`, config])
  const played = () => page.evaluate(() => document.getElementById('v').getVideoPlaybackQuality().totalVideoFrames)
  return { page, asked, played }
}

test('hls.js plays live from parts, and asks for each playlist as soon as it is there', async () => {
  cluster.publish('cam')
  await cluster.playable('cam')
  const { page, asked, played } = await play('cam', { lowLatencyMode: true })
  await until('two hundred pictures', 60, async () => await played() > 200)
  const told = await page.evaluate(() => {
    const { details } = window.hls.levels[window.hls.currentLevel < 0 ? 0 : window.hls.currentLevel]
    return { parts: details.partTarget, hold: details.partHoldBack, block: details.canBlockReload, target: window.hls.targetLatency }
  })
  assert.ok(told.parts > 0.2 && told.parts < 0.25 && told.hold < 0.75 && told.block, JSON.stringify(told))
  assert.ok(asked.some(([url, status]) => /\/\d+\.[0-4]\.m4s$/.test(url) && status === 200), 'parts came')
  assert.ok(asked.some(([url, status]) => /_HLS_msn=\d+&_HLS_part=\d/.test(url) && status === 200), 'versions came')
  assert.deepEqual(asked.filter(([url, status]) => /\.(m3u8|m4s|mp4)(\?|$)/.test(url) && status >= 400 && status !== 503), [])
  assert.deepEqual(await page.evaluate(() => window.faults), [])
  await page.context().close()
})

test('hls.js plays a recording from its beginning to its end', async () => {
  const { ended } = cluster.publish('film', { seconds: 8 })
  await cluster.playable('film')
  await ended
  await until('the film is over', 60, async () => (await cluster.state('film'))?.state === 'ended')
  const { page } = await play('film')
  const at = () => page.evaluate(() => { const v = document.getElementById('v'); return [v.duration, v.currentTime, v.ended] })
  await until('it has a length', 30, async () => (await at())[0] > 6)
  await page.evaluate(() => { document.getElementById('v').currentTime = document.getElementById('v').duration - 2 })
  await until('it ends', 60, async () => (await at())[2])
  assert.deepEqual(await page.evaluate(() => window.faults), [])
  await page.context().close()
})

async function shaka(path) {
  const page = await ground(browser, cluster, shakajs)
  const asked = []
  page.on('response', (answer) => asked.push([answer.url(), answer.status()]))
  await page.evaluate(async (url) => {
    shaka.polyfill.installAll()
    const player = window.player = new shaka.Player()
    window.faults = []
    // Of a machine without time Shaka trips now and then over an address that it has not made yet: no error of its own, without a code, and it plays on.
    player.addEventListener('error', (e) => e.detail.code && window.faults.push(String(e.detail.code)))
    await player.attach(document.getElementById('v'))
    player.configure({ streaming: { lowLatencyMode: true } })
    await player.load(url)
    document.getElementById('v').play()
  }, cluster.url(path))
  return { page, asked }
}

const shown = (page) => page.evaluate(() => {
  const v = document.getElementById('v')
  return { frames: v.getVideoPlaybackQuality().totalVideoFrames, ended: v.ended, faults: window.faults, live: window.player.isLive() }
})

test('Shaka plays live from parts, and old playlists too', async () => {
  if (!await cluster.state('cam')) cluster.publish('cam')
  await cluster.playable('cam')
  for (const file of ['master.m3u8', 'classic.m3u8']) {
    await until(`${file} is there`, 30, async () => (await fetch(cluster.url(`/live/cam/${file}`))).ok)
    for (const { name } of (await cluster.state('cam')).tracks) {
      const list = `/live/cam/${(await cluster.state('cam')).session}/${name}/${file.replace('master', 'media')}`
      await until(list, 30, async () => (await fetch(cluster.url(list))).ok)
    }
    const { page, asked } = await shaka(`/live/cam/${file}`)
    await until(`ninety pictures of ${file}`, 60, async () => (await shown(page)).frames > 90)
    const { faults, live } = await shown(page)
    assert.deepEqual(faults, [])
    assert.ok(live)
    assert.ok(asked.some(([url]) => (file === 'master.m3u8' ? /\/\d+\.\d\.m4s$/ : /\/\d+x4\.m4s$/).test(url)), 'its own kind of segments came')
    assert.deepEqual(asked.filter(([url, status]) => /\.(m3u8|m4s|mp4)(\?|$)/.test(url) && status >= 400 && status !== 503), [])
    await page.context().close()
  }
})

test('a strict parser reads every kind of playlist', async () => {
  HLS.setOptions({ strictMode: true })
  if (!await cluster.state('cam')) cluster.publish('cam')
  await cluster.playable('cam')
  const { ended } = cluster.publish('short', { seconds: 6 })
  const read = async (path) => HLS.parse(await until(path, 60, async () => {
    const answer = await fetch(cluster.url(path))
    return answer.ok && answer.text()
  }))
  const all = async (stream, file, of) => {
    const master = await read(`/live/${stream}/${file}`), before = `/live/${stream}/`, rungs = master.variants.filter((v) => !v.isIFrameOnly)
    assert.ok(master.isMasterPlaylist && rungs.length === 2 && rungs.every((v) => v.codecs && v.resolution && v.audio.length === 1))
    const uris = [...rungs.map((v) => v.uri), ...rungs.flatMap((v) => v.audio.map((a) => a.uri))]
    for (const uri of new Set(uris)) await of(before + uri)
  }
  await all('cam', 'master.m3u8', async (path) => {
    const now = await read(path)
    assert.ok(now.lowLatencyCompatibility.canBlockReload && now.partTargetDuration < 0.25 && now.segments.length > 0)
    assert.ok(now.segments.at(-1).parts.at(-1).hint, 'the next part is told')
    const n = now.mediaSequenceBase + now.segments.length
    const next = await read(`${path}?_HLS_msn=${n}&_HLS_part=1`), delta = await read(`${path}?_HLS_msn=${n + 7}&_HLS_skip=YES`)
    assert.ok(next.mediaSequenceBase + next.segments.length >= n)
    assert.ok(delta.skip > 0, 'what is old is left out')
  })
  await all('cam', 'classic.m3u8', async (path) => {
    const now = await read(path)
    assert.ok(now.targetDuration === 4 && now.segments.length > 0 && !now.lowLatencyCompatibility && now.segments.every((s) => s.duration === 4))
  })
  await ended
  await until('short is over', 60, async () => (await cluster.state('short'))?.state === 'ended')
  for (const file of ['master.m3u8', 'classic.m3u8'])
    await all('short', file, async (path) => {
      const tape = await until('it has an end', 30, async () => (({ endlist }) => endlist)(await read(path)) && read(path))
      assert.ok(tape.playlistType === 'VOD')
      const length = tape.segments.reduce((sum, s) => sum + s.duration, 0)
      assert.ok(Math.abs(length - 6) < 0.2, `${path} lasts ${length}`)
    })
})
