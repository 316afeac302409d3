// What is said beside the picture, or beside sound alone: the page tells it when its time comes, dash.js and hls.js do without our page, and a recording
// shows where it was said.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Cluster, ground, hear, heard, launch, metrics, openPage, playing, top, until } from './harness.mjs'

const AMF = 'urn:freshet:amf:2026', SCTE35 = 'urn:scte:scte35:2013:bin'
const FILM_S = 14, FILM_CUES = 20
const hlsjs = readFileSync(join(top, 'tests/pages/node_modules/hls.js/dist/hls.js'), 'utf8')
let cluster, browser
before(async () => {
  cluster = new Cluster()
  browser = await launch()
  cluster.publishCues('cam')
  cluster.publishCues('radio', { soundOnly: true })
  cluster.publishCues('film', { seconds: FILM_S })
  for (const stream of ['cam', 'radio']) await cluster.playable(stream)
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

// Number n of what is said is said at this time; every fifth is a splice.
const dueS = (n) => 0.3 + 0.7 * n
const numberOf = (at) => Math.max(0, Math.round((at - 0.3) / 0.7))

// told: [{ id, scheme, at, now, text }] in the order in which they came; now: of the video then. jumps: whether the viewer may have jumped over some.
function judge(told, jumps = false) {
  assert.equal(new Set(told.map(({ id }) => id)).size, told.length, `each once: ${JSON.stringify(told)}`)
  // A busy page looks seldom: most are in time all the same.
  const late = told.map(({ at, now = at }) => now - at).sort((a, b) => a - b)
  assert.ok(late[late.length >> 1] < 1.7, `late: ${late}`)
  for (const { scheme, at, now, text } of told) {
    const n = numberOf(at)
    assert.ok(Math.abs(at - dueS(n)) < 0.15, `said at ${at}, which is nobody's time`)
    assert.equal(scheme, n % 5 === 4 ? SCTE35 : AMF)
    if (text !== undefined && scheme === AMF) assert.equal(text, `line ${n} ü`)
    if (now !== undefined) assert.ok(now >= at - 0.05, `of ${at}, told at ${now}`)
  }
  const numbers = told.map(({ at }) => numberOf(at))
  if (!jumps) assert.deepEqual(numbers, numbers.map((_, i) => numbers[0] + i))
}

// Collects what the page says from now on.
const listen = (page) => page.evaluate(() => {
  const video = document.querySelector('video')
  window.told = []
  window.jumps = 0
  video.addEventListener('seeking', () => window.jumps++)
  window.addEventListener('cue', ({ detail: { id, scheme, at, data } }) => window.told.push({ id, scheme, at, now: video.currentTime, text: data.data?.text, bytes: data.length }))
})
const told = (page) => page.evaluate(() => ({ list: window.told, jumps: window.jumps > 0 }))

const enough = (page, count = 6) => until(`${count} texts and splices`, 60, async () => {
  const all = await told(page)
  return all.list.length >= count && all.list.some(({ scheme }) => scheme === SCTE35) && all
})

// With a picture, and with sound alone, at the same time: most of it is waiting.
const both = (name, run) => test(name, () => Promise.all(['cam', 'radio'].map(run)))

both('the page tells what is said in a stream, and in one of sound alone, when its time comes, once, and shows texts', async (stream) => {
  const page = await openPage(browser, cluster, `/watch/${stream}`)
  await until('it plays', 30, async () => (await metrics(page)).state === 'playing')
  await listen(page)
  await hear(page)
  const { list, jumps } = await enough(page)
  judge(list, jumps)
  assert.equal(list.find(({ scheme }) => scheme === SCTE35).bytes, 50)
  await until('a text under the picture', 20, async () => /^line \d+ ü$/.test(await page.textContent('#said')) && await page.isVisible('#said'))
  await until('it is read aloud', 20, async () => (await heard(page)).some((words) => /^line \d+ ü$/.test(words))) // not each is: one in four seconds
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT.replace('.png', `-${stream}.png`) })
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('in low latency they are told too', async () => {
  const page = await openPage(browser, cluster, '/watch/cam')
  await playing(page)
  await page.click('#near')
  await until('it plays without segments', 30, async () => await page.evaluate(() => Boolean(window.freshet.player?.tracks)) && (await metrics(page)).state === 'playing')
  await listen(page)
  const { list, jumps } = await enough(page)
  judge(list, jumps)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('a frame tells the page that it is in', async () => {
  const page = await ground(browser, cluster)
  await page.evaluate(() => {
    window.said = []
    window.addEventListener('message', (e) => e.data.freshet === 'cue' && window.said.push(e.data))
    const frame = document.createElement('iframe')
    frame.src = '/embed/cam'
    document.body.append(frame)
  })
  const said = await until('three of them', 60, async () => {
    const all = await page.evaluate(() => window.said.map(({ id, scheme, at, data }) => ({ id, scheme, at, text: data.data?.text })))
    return all.length >= 3 && all
  })
  judge(said, true)
  await page.context().close()
})

both('dash.js tells what is in the segments, of sound alone too, when its time comes, each once', async (stream) => {
  const page = await ground(browser, cluster)
  await page.addScriptTag({ url: '/web/dash.js' })
  await page.evaluate(([url, schemes]) => {
    const video = document.getElementById('v'), player = dashjs.MediaPlayer().create()
    window.told = []
    window.jumps = 0
    video.addEventListener('seeking', () => window.jumps++)
    for (const scheme of schemes)
      player.on(scheme, ({ event: e }) => window.told.push({ id: e.id, scheme, at: e.calculatedPresentationTime, now: video.currentTime,
        text: scheme === schemes[0] ? JSON.parse(new TextDecoder().decode(e.messageData)).data.text : undefined }))
    player.initialize(video, url, true)
  }, [`/live/${stream}/manifest.mpd`, [AMF, SCTE35]])
  const { list } = await enough(page)
  judge(list.map((one) => ({ ...one, now: undefined })), true) // those that were said just before it began come at once
  await page.context().close()
})

both('hls.js tells what the playlists say, of sound alone too, when its time comes, each once', async (stream) => {
  const page = await ground(browser, cluster, hlsjs)
  await page.evaluate(([url, schemes]) => {
    const video = document.getElementById('v'), hls = window.hls = new Hls()
    window.told = []
    window.jumps = 0
    video.textTracks.addEventListener('addtrack', ({ track }) => {
      track.mode = 'hidden'
      track.addEventListener('cuechange', () => {
        for (const cue of track.activeCues) {
          // A cue for each attribute: this one has the text, or the splice.
          if (cue.value.key !== 'X-JSON' && !/^SCTE35/.test(cue.value.key)) continue
          if (window.told.some((one) => one.key === cue.id)) continue
          const amf = cue.value.key === 'X-JSON'
          const bytes = amf ? Uint8Array.from(cue.value.data.slice(2).match(/../g), (two) => parseInt(two, 16)) : null
          window.told.push({ key: cue.id, id: cue.id, scheme: amf ? schemes[0] : schemes[1], at: Number(cue.id.split('-')[1]) / 1000,
            apart: video.currentTime - cue.startTime, text: amf ? JSON.parse(new TextDecoder().decode(bytes)).data.text : undefined })
        }
      })
    })
    hls.loadSource(url)
    hls.attachMedia(video)
  }, [`/live/${stream}/master.m3u8`, [AMF, SCTE35]])
  const { list } = await enough(page)
  judge(list, true)
  for (const { apart } of list) assert.ok(apart > -0.3, `too soon by ${-apart} s`)
  await page.context().close()
})

// A video that is where the test says: what is told of cues [{ id, at }] when steps [{ to, jumps, add }] are gone through, as IDs.
const walk = (page, steps) => page.evaluate(async ([all, scheme]) => {
  const { Cues } = await import('/web/cues.js'), said = []
  const video = Object.assign(new EventTarget(), { currentTime: 0, seeking: false })
  const [line, marks] = [document.createElement('p'), document.createElement('p')], cues = new Cues(video, line, marks)
  const hear = ({ detail }) => said.push(detail.id)
  window.addEventListener('cue', hear)
  cues.look()
  for (const { to, jumps, add = [] } of all) {
    for (const { id, at } of add) cues.add({ id, at, scheme, duration: null, bytes: new TextEncoder().encode('{"data":{"text":"<b>x</b>"}}') })
    video.currentTime = to
    if (jumps) video.dispatchEvent(new Event('seeking'))
    cues.look()
  }
  window.removeEventListener('cue', hear)
  return { said, kept: cues.list.length, elements: line.childElementCount, text: line.textContent }
}, [steps, AMF])

test('all that was played is told, however seldom the page has time to look, and of what was jumped over the newest', async () => {
  const page = await openPage(browser, cluster, '/watch/never'), add = [1, 3, 5, 7, 9].map((at) => ({ id: at, at }))
  assert.deepEqual((await walk(page, [{ to: 0, add }, { to: 8 }])).said, [1, 3, 5, 7])
  assert.deepEqual((await walk(page, [{ to: 0, add }, { to: 8, jumps: true }])).said, [7])
  const { elements, text } = await walk(page, [{ to: 0, add }, { to: 1.1 }])
  assert.deepEqual([elements, text], [0, '<b>x</b>'])
  await page.context().close()
})

test('of a recording with more than is kept those that come next are told', async () => {
  const page = await openPage(browser, cluster, '/watch/never')
  const all = Array.from({ length: 2000 }, (_, i) => ({ id: i, at: i + 0.5 })) // its playlist says all, then each comes with its segment
  const { said, kept } = await walk(page, [{ to: 0, add: all }, ...all.map((one, i) => ({ to: i + 1, add: [one] }))])
  assert.deepEqual(said, all.map(({ id }) => id))
  assert.ok(kept <= 512)
  await page.context().close()
})

test('a recording has marks where something was said, and tells all of it once, at twice the speed too', async () => {
  await until('the film is over', 60, async () => (await cluster.state('film'))?.state === 'ended')
  const page = await openPage(browser, cluster, '/watch/film')
  await listen(page)
  await page.click('#action')
  await playing(page)
  const marks = await until('the marks', 20, async () => {
    const places = await page.$$eval('#marks i', (all) => all.map((mark) => parseFloat(mark.style.left)))
    return places.length >= FILM_CUES && places
  })
  const { end } = await page.evaluate(() => ({ end: document.querySelector('video').duration }))
  marks.forEach((percent, n) => assert.ok(Math.abs(percent * end / 100 - dueS(n)) < 0.15, `mark ${n} is at ${percent} % of ${end} s`))
  const slider = await page.locator('#seek').boundingBox()
  await page.mouse.move(slider.x + 8 + (slider.width - 16) * dueS(6) / end, slider.y + slider.height / 2)
  await until('what is said there', 10, async () => await page.textContent('#peek-said') === 'line 6 ü')
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT })
  await page.selectOption('#speed', '2')
  await until('it ends', 60, async () => (await metrics(page)).state === 'ended')
  const { list } = await told(page)
  judge(list)
  assert.equal(list.length, marks.length)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})
