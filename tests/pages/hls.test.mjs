// hls.js plays what the page's player plays, from the same chunks: low latency by blocking reload and parts, then the recording.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Cluster, launch, openPage, top, until } from './harness.mjs'

const hlsjs = readFileSync(join(top, 'tests/pages/node_modules/hls.js/dist/hls.js'), 'utf8')
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
  const page = await openPage(browser, cluster, '/', { bypassCSP: true })
  const asked = []
  page.on('response', (answer) => asked.push([answer.url(), answer.status()]))
  await page.setContent('<video id="v" muted autoplay></video>')
  await page.addScriptTag({ content: hlsjs })
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
  assert.ok(told.parts > 0.4 && told.parts < 0.5 && told.hold === 1.32 && told.block, JSON.stringify(told))
  assert.ok(asked.some(([url, status]) => /\/\d+\.[0-2]\.m4s$/.test(url) && status === 200), 'parts came')
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
