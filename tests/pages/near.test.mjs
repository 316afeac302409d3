// The page's low-latency mode (edged/web/low_latency.js with tail.js): there for who wants it, and never in the way.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Cluster, captions, clickControl, launch, metrics, openPage, playing, top, until, watchCaptions } from './harness.mjs'

const skip = existsSync(join(top, 'build/web/tail.js')) ? false : 'this site has no player of tails'
let cluster, browser
before(async () => {
  if (skip) return
  cluster = new Cluster('transcoderd.thumbs_s=2')
  browser = await launch()
  cluster.publish('cam')
  await cluster.playable('cam')
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

const isNear = (page) => page.evaluate(() => Boolean(window.freshet.player?.tracks))
const goesOn = async (page) => {
  const { decodedFrames = 0 } = await metrics(page)
  await until('pictures go on', 30, async () => (await metrics(page)).decodedFrames > decodedFrames + 20)
}

// On a machine that does much else it may not go well: the page then plays segments, which is another test's, and is told anew.
async function nearby(stream = 'cam') {
  const page = await openPage(browser, cluster, `/watch/${stream}`)
  await playing(page)
  await until('it plays without segments', 60, async () => {
    for (let clicks = await isNear(page) ? 0 : await page.getAttribute('#near', 'aria-pressed') === 'true' ? 2 : 1; clicks > 0; clicks--) await page.click('#near')
    await playing(page)
    await goesOn(page)
    return isNear(page)
  })
  return page
}

test('who wants low latency gets it, stays with it when the page is loaded again, and may leave it', { skip }, async () => {
  const page = await nearby()
  assert.equal(await page.getAttribute('#near', 'aria-pressed'), 'true')
  assert.ok((await metrics(page)).latency > 0)
  const loads = []
  page.on('request', (r) => loads.at(-1)?.push(new URL(r.url()).pathname))
  await until('it goes on as it was, loaded again', 60, async () => {
    loads.push([])
    await page.reload()
    await playing(page)
    await goesOn(page)
    return isNear(page)
  })
  assert.ok(loads.every((asked) => asked.some((path) => path.endsWith('/tail'))), 'it is wanted from the first request on')
  assert.deepEqual(loads.at(-1).filter((path) => path.endsWith('.m4s')), [])
  await page.click('#near')
  await until('it plays segments', 30, async () => !await isNear(page) && (await metrics(page)).state === 'playing')
  await goesOn(page)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('who chose low latency before has a picture before the other player is there', { skip }, async () => {
  const chosen = await nearby()
  const { origins } = await chosen.context().storageState()
  await chosen.context().close()
  const page = await openPage(browser, cluster, '/robots.txt', { storageState: { cookies: [], origins } })
  let come
  const comes = new Promise((done) => { come = done })
  let breaks = 0
  await page.route(/\/web\/dash\.js/, async (route) => {
    if (++breaks <= 2) return route.abort()
    await comes
    await route.continue()
  })
  await page.goto(cluster.url('/watch/cam'), { waitUntil: 'commit' })
  await playing(page)
  await until('the other player did not come at once', 30, () => breaks > 2)
  assert.equal(await isNear(page), true)
  await page.click('#near') // he is to go on with it, when it comes
  come()
  await until('it plays segments', 30, async () => !await isNear(page) && (await metrics(page)).state === 'playing')
  await goesOn(page)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('who goes back or pauses goes on where he was, and is near again by the live button', { skip }, async () => {
  const page = await nearby()
  await until('something to go back to', 60, async () => (await metrics(page)).currentTime > 12)
  const { currentTime: at, latency: before } = await metrics(page)
  await page.keyboard.press('ArrowLeft')
  await until('it plays there', 30, async () => !await isNear(page) && (await metrics(page)).state === 'playing' && (await metrics(page)).latency > 4)
  const { currentTime: there, latency } = await metrics(page)
  // However long that took: with the time that passed the picture goes on, and is no nearer to the live edge.
  assert.ok(latency > before + 3, `at ${there}, ${latency} s behind, from ${at}, ${before} s behind`)
  await until('near again', 60, async () => { // a minute after it did not go well
    await clickControl(page, '#live')
    return isNear(page)
  })
  await playing(page)
  await goesOn(page)
  await page.keyboard.press(' ')
  const paused = (await metrics(page)).currentTime
  await until('five seconds are missed', 30, () => cluster.state('cam').then((s) => (Date.now() - Date.parse(s.started)) / 1000 > paused + 6))
  await page.keyboard.press(' ')
  const goesOnMs = Date.now()
  const on = await until('it goes on', 30, async () => {
    const { state, currentTime } = await metrics(page)
    return !await isNear(page) && state === 'playing' && currentTime > paused + 0.5 && currentTime
  })
  const passed = (Date.now() - goesOnMs) / 1000 // since then, however long the page took; at the live edge it would be what was missed more
  assert.ok(on < paused + passed + 2, `paused at ${paused}, goes on at ${on}, ${passed} s later`)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('there are still pictures on the timeline, at the steps at which they are made', { skip }, async () => {
  const page = await nearby(), asked = []
  page.on('request', (request) => /\/thumbs\//.test(request.url()) && asked.push(new URL(request.url()).pathname.split('/').at(-1)))
  await until('a timeline of more than what is loaded', 60, () => page.evaluate(() => {
    const { buffered } = document.querySelector('video'), seek = document.getElementById('seek')
    return buffered.length && Number(seek.min) < buffered.start(0) - 2
  }))
  const slider = await page.locator('#seek').boundingBox()
  let moves = 0
  await until('a still picture', 30, async () => {
    await page.mouse.move(slider.x + slider.width / 4 + ++moves % 3, slider.y + slider.height / 2)
    return page.isVisible('#peek-picture')
  })
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT })
  assert.equal(await isNear(page), true)
  assert.deepEqual(asked.filter((name) => !/^\d+x2\.jpg$/.test(name)), [])
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('who wants captions has them, each as soon as it is said, and keeps them when he goes back', { skip }, async () => {
  cluster.publishCaptions('said', 90, 75)
  await cluster.playable('said')
  await until('it is known that there are some', 30, async () => (await cluster.state('said')).captions)
  const page = await nearby('said')
  const shown = () => page.evaluate(() => [...document.querySelector('video').textTracks].filter((track) => track.mode === 'showing')
    .map(({ label, cues }) => `${label}: ${[...cues].map((cue) => cue.text)}`))
  await until('a button', 20, () => page.locator('#captions').isVisible())
  assert.equal(await page.isVisible('#speed'), false) // at the live edge there is one speed
  await watchCaptions(page)
  await page.keyboard.press('c')
  await until('a text for most of its three seconds', 60, async () => {
    const told = await captions(page)
    if (await isNear(page) && Object.values(told).some((seconds) => seconds > 2)) return true
    throw new Error(JSON.stringify(told))
  })
  assert.equal(await page.getAttribute('#captions', 'aria-pressed'), 'true')
  assert.deepEqual((await shown()).map((track) => track.split(':')[0]), ['Captions'], await shown())
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT.replace('.', '-captions.') })
  await page.keyboard.press('ArrowLeft')
  await until('it plays there', 30, async () => !await isNear(page) && (await metrics(page)).state === 'playing')
  await watchCaptions(page)
  await until('a text', 60, async () => Object.values(await captions(page)).some((seconds) => seconds > 1))
  assert.equal(await page.getAttribute('#captions', 'aria-pressed'), 'true')
  await page.keyboard.press('c')
  await until('none', 20, async () => (await shown()).length === 0)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('where it does not go well the page plays segments, and says nothing of it', { skip }, async () => {
  const page = await openPage(browser, cluster, '/')
  await page.evaluate(() => localStorage.setItem('freshet', JSON.stringify({ near: true })))
  await page.route('**/tail', (route) => route.abort())
  await page.goto(cluster.url('/watch/cam'))
  await playing(page)
  assert.equal(await isNear(page), false)
  await goesOn(page)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})
