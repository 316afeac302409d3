import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Cluster, captions, clickControl, launch, metrics, openPage, playing, until, watchCaptions } from './harness.mjs'

let cluster, browser
before(async () => {
  cluster = new Cluster()
  browser = await launch()
  cluster.publish('cam', { title: 'Camera one' })
  await cluster.playable('cam')
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

async function watching(options) {
  const page = await openPage(browser, cluster, '/watch/cam', options)
  await playing(page)
  return page
}

test('what the first picture takes is asked for while the scripts are still on their way, and once', async () => {
  const page = await openPage(browser, cluster, '/robots.txt'), asked = []
  page.on('request', (request) => asked.push(new URL(request.url()).pathname))
  let come
  const comes = new Promise((done) => { come = done })
  for (const script of ['dash.js', 'watch.js'])
    await page.route(`**/web/${script}`, async (route) => { await comes; await route.continue() })
  await page.goto(cluster.url('/watch/cam'), { waitUntil: 'commit' })
  const counted = (pattern) => asked.filter((path) => pattern.test(path)).length
  await until('the manifest and the beginnings of all tracks are asked for', 20, () => counted(/manifest\.mpd$/) === 1 && counted(/init\.mp4$/) === 3)
  assert.equal(counted(/^\/api\/streams$/), 1)
  come()
  await playing(page)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('a list that is asked for early, when the page has one already, is not taken for a newer one', async () => {
  const page = await watching()
  const asked = await page.evaluate(async () => (await import('/web/streams.js')).askEarly().then(() => true, () => false))
  assert.equal(asked, false)
  await page.context().close()
})

test('a page whose connection breaks while the player comes asks for it again', async () => {
  const page = await openPage(browser, cluster, '/robots.txt')
  let broken = true, asked = 0
  await page.route(/\/web\/dash\.js/, (route) => (asked++, broken ? route.abort() : route.continue()))
  await page.goto(cluster.url('/watch/cam'))
  await until('it was asked for again', 30, () => asked > 2)
  assert.equal((await metrics(page)).state, 'waiting')
  broken = false
  await playing(page)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('the page plays: pictures and sound are decoded and go on, from no other host, near the live edge', async () => {
  const page = await watching()
  const first = await metrics(page)
  await until('sixty more pictures and more sound', 20, async () => {
    const now = await metrics(page)
    return now.decodedFrames >= first.decodedFrames + 60 && now.decodedAudioBytes > first.decodedAudioBytes
  })
  await until('the latency settles near its target', 30, async () => {
    const { latency, targetLatency } = await metrics(page)
    return Math.abs(latency - targetLatency) < 0.5
  })
  assert.match(await page.textContent('#title'), /Camera one/)
  assert.match(await page.textContent('#latency'), /^\d+\.\d s$/)
  assert.deepEqual(page.strangers, [])
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

async function told(series) {
  const text = await (await fetch(`${cluster.node('edged').admin}/metrics`)).text()
  return text.split('\n').filter((line) => line.startsWith(series)).reduce((sum, line) => sum + Number(line.split(' ').pop()), 0)
}

test('the edge is told how it plays: what is in hand, how far behind, since when, and when it stands still', async () => {
  const page = await watching()
  await until('reports with segments', 20, async () => await told('edged_player_reports_total{via="headers",version="2"}') > 3)
  await until('what is buffered and how far behind', 20, async () => await told('edged_player_buffer_seconds_count') > 0 && await told('edged_player_latency_seconds_count') > 0)
  await until('when the first picture was there', 20, async () => await told('edged_player_startup_seconds_count') > 0)
  await until('that it plays', 20, async () => await told('edged_player_states_total{state="playing"}') > 0)
  const paused = await told('edged_player_states_total{state="paused"}')
  await page.keyboard.press(' ')
  await until('that it was paused', 20, async () => await told('edged_player_states_total{state="paused"}') > paused)
  assert.equal(await told('edged_player_reports_total{via="headers",version="broken"}'), 0)
  assert.equal(await told('edged_player_reports_total{via="event",version="broken"}'), 0)
  assert.deepEqual(page.strangers, [])
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('each rung can be chosen and is then what is shown; automatic is offered too', async () => {
  const page = await watching()
  const rungs = await page.$$eval('#quality option', (options) => options.map((o) => o.text))
  assert.equal(rungs.length, 3)
  assert.match(rungs[0], /^Auto/)
  assert.deepEqual(rungs.slice(1), ['360p', '180p'])
  for (const height of [180, 360]) {
    await page.selectOption('#quality', { label: `${height}p` })
    await until(`${height} lines`, 20, async () => (await metrics(page)).height === height)
  }
  await page.selectOption('#quality', 'auto')
  await page.context().close()
})

test('the live button brings a viewer back who had paused', async () => {
  const page = await watching()
  await page.keyboard.press(' ')
  assert.equal(await page.evaluate(() => document.querySelector('video').paused), true)
  await until('the viewer has fallen behind', 20, async () => {
    const { latency, targetLatency } = await metrics(page)
    return latency > targetLatency + 2
  })
  assert.equal(await page.textContent('#live-text'), 'Go live')
  await clickControl(page, '#live')
  await until('back at the live edge', 20, async () => {
    const { latency, targetLatency } = await metrics(page)
    return latency < targetLatency + 0.7 && await page.textContent('#live-text') === 'Live'
  })
  await page.context().close()
})

test('keys do what the page says: sound, volume, back, live edge, full screen', async () => {
  const page = await watching()
  const video = (what) => page.evaluate((w) => document.querySelector('video')[w], what)
  assert.equal(await video('muted'), true)
  await page.click('#unmute')
  assert.equal(await video('muted'), false)
  assert.equal(await page.isVisible('#unmute'), false)
  await page.keyboard.press('m')
  assert.equal(await video('muted'), true)
  await page.keyboard.press('m')
  await page.locator('body').press('ArrowDown')
  assert.ok(await video('volume') < 1)
  await until('something to go back to', 20, async () => (await page.evaluate(() => Number(document.getElementById('seek').max - document.getElementById('seek').min))) > 5)
  await page.keyboard.press('ArrowLeft')
  await until('five seconds back', 10, async () => (await metrics(page)).latency > 4)
  await page.keyboard.press('l')
  await until('live again', 20, async () => {
    const { latency, targetLatency } = await metrics(page)
    return latency < targetLatency + 0.7
  })
  await page.keyboard.press('f')
  await until('full screen', 10, () => page.evaluate(() => document.fullscreenElement?.id === 'stage'))
  await page.context().close()
})

test('captions are offered where there are some, stay for as long as they are said, and go again', async () => {
  const offered = (page) => page.locator('#captions').isVisible()
  const silent = await watching()
  assert.equal(await offered(silent), false)
  await silent.context().close()
  cluster.publishCaptions('said', 90, 150)
  await cluster.playable('said')
  await until('the manifest to name them', 20, async () =>
    (await (await fetch(cluster.url('/live/said/manifest.mpd'))).text()).includes('urn:scte:dash:cc:cea-608:2015'))
  const page = await openPage(browser, cluster, '/watch/said')
  await playing(page)
  const shown = () => page.evaluate(() => [...document.querySelector('video').textTracks].filter((track) => track.mode === 'showing').length)
  await until('a button', 10, () => offered(page))
  assert.equal(await shown(), 0)
  await watchCaptions(page)
  await page.keyboard.press('c')
  await until('two texts that follow each other, each for most of its six seconds', 60, async () => {
    const told = await captions(page), long = Object.keys(told).filter((text) => told[text] > 4.5)
    const numbers = long.map((text) => Number(text.match(/^TEXT (\d+)$/)?.[1]))
    if (numbers.some((n) => numbers.includes(n + 1))) return true
    throw new Error(JSON.stringify(told))
  })
  assert.equal(await shown(), 1)
  assert.equal(await page.getAttribute('#captions', 'aria-pressed'), 'true')
  await clickControl(page, '#captions')
  assert.equal(await shown(), 0)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('a viewer who fell behind by accident is back at the live edge at once, not after minutes of catching up', async () => {
  const page = await watching()
  await until('six seconds to fall behind', 20, async () => {
    const { start, end } = await page.evaluate(() => window.freshet.player.getDvrWindow())
    return end - start > 8
  })
  await page.evaluate(() => { // nobody asked the page for it
    const video = document.querySelector('video'), to = video.currentTime - 6
    window.jumps = []
    video.addEventListener('seeking', () => window.jumps.push(video.currentTime - to))
    video.currentTime = to
  })
  await until('it jumps', 30, () => page.evaluate(() => window.jumps.some((by) => by > 4)))
  await until('live again', 30, async () => {
    const { latency, targetLatency } = await metrics(page)
    return latency < targetLatency + 0.7
  })
  await page.context().close()
})

test('on a phone it plays, controls are big enough for a thumb and within the screen', async () => {
  const page = await watching({ viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true })
  await page.tap('video')
  for (const id of ['play', 'live', 'mute', 'full']) {
    const box = await page.locator(`#${id}`).boundingBox()
    assert.ok(box.width >= 44 && box.height >= 44, `${id} is ${box.width} × ${box.height}`)
    assert.ok(box.x >= 0 && box.x + box.width <= 390)
  }
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
  await page.context().close()
})

test('every control has a name', async () => {
  const page = await watching()
  const nameless = await page.$$eval('#controls button, #controls input, #controls select', (all) => all
    .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.title)).map((e) => e.id))
  assert.deepEqual(nameless, [])
  await page.context().close()
})
