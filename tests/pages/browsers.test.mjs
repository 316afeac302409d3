// The page in browsers of every make that this machine has: the same promises, kept by the same tests. A browser that is not installed is
// told as skipped.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { existsSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { Cluster, launch, patient, until } from './harness.mjs'
import { firefox, hasFirefox, hasWebkit, webkit } from './webdriver.mjs'

const hasChromium = () => existsSync(process.env.CHROMIUM || '/usr/bin/chromium')

// With the face of webdriver.mjs.
async function chromium() {
  const browser = await launch(), page = await browser.newPage()
  patient(page)
  return {
    version: browser.version(),
    open: (url) => page.goto(url),
    run: (call, ...args) => page.evaluate(`(${call})(...${JSON.stringify(args)})`),
    press: (key) => page.keyboard.press(key),
    picture: () => page.screenshot(),
    close: () => browser.close(),
  }
}

// lacks: of the window's, what is gone before the page looks for it. native: it plays HLS by itself; managed: by ManagedMediaSource. loses: after
// a jump back to where nothing is loaded WebKitGTK (2.50) now and then takes no more bytes of one track, or shows none of its pictures, so
// that is not asked of it. WebKitGTK's own player of HLS takes what is live for as long as it is now, and ends there, so that is not asked of it.
const BROWSERS = {
  Chromium: { has: hasChromium, start: chromium },
  Firefox: { has: hasFirefox, start: firefox },
  WebKitGTK: { has: hasWebkit, start: webkit, managed: true, loses: true },
  'WebKitGTK, as iPhones are since 17.1': { has: hasWebkit, start: webkit, lacks: ['MediaSource'], managed: true, loses: true },
  'WebKitGTK, as older iPhones are': { has: hasWebkit, start: webkit, native: true, lacks: ['MediaSource', 'ManagedMediaSource'] },
}

// The edge, but for the page's first script, which takes from the browser what it is to lack.
function without(edge, lacks) {
  const first = Buffer.from(lacks.map((name) => `delete window.${name}\n`).join(''))
  const server = createServer((asked, answer) => {
    const headers = { ...asked.headers, 'accept-encoding': 'identity' }
    const onward = request(edge + asked.url, { method: asked.method, headers }, (told) => {
      const isFirst = asked.url.endsWith('/web/embed.js') && told.statusCode === 200
      const length = isFirst ? { 'content-length': Number(told.headers['content-length']) + first.length, etag: undefined } : {}
      const passed = Object.entries({ ...told.headers, ...length }).filter(([, value]) => value !== undefined)
      answer.writeHead(told.statusCode, Object.fromEntries(passed))
      if (isFirst) answer.write(first)
      told.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    answer.on('close', () => onward.destroy())
    asked.pipe(onward)
  })
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server)))
}

let cluster, film
before(async () => {
  if (!Object.values(BROWSERS).some(({ has }) => has())) return
  cluster = new Cluster()
  cluster.publish('cam')
  const { ended } = cluster.publish('film', { seconds: 10 })
  film = (await cluster.playable('film')).session
  await cluster.playable('cam')
  await ended
  await until('the film is over', 30, async () => (await cluster.state('film'))?.state === 'ended')
})
after(() => cluster?.down())

const metrics = (browser) => browser.run(() => window.freshet.metrics())

const behind = async (browser) => (await metrics(browser)).latency

async function playing(browser, what = 'it plays') {
  await until(what, 30, async () => {
    const told = await metrics(browser)
    if (told.state === 'playing' && told.currentTime > 0 && told.width > 0 && await shown(browser) > 1) return true
    throw new Error(JSON.stringify(told))
  })
}

// Without a screen and on a busy machine WebKitGTK shows a few of them only, and its own count begins anew now and then.
const shown = (browser) => browser.run(() => window.shown)
async function goesOn(browser, seconds = 1) {
  const before = await shown(browser), { currentTime } = await metrics(browser)
  await until(`${seconds} s more of pictures`, 30, async () => {
    const now = await shown(browser), told = await metrics(browser)
    if (now > before + 2 && told.currentTime > currentTime + seconds) return true
    throw new Error(`${now - before} so far: ${JSON.stringify(told)}`)
  })
}

async function watch(browser, path) {
  await browser.open(browser.site + path)
  await browser.run(() => {
    window.faults = []
    for (const kind of ['error', 'unhandledrejection'])
      window.addEventListener(kind, (e) => window.faults.push(e.message || String(e.reason)))
    const video = document.getElementById('video'), each = (_, picture) => {
      video.requestVideoFrameCallback(each)
      window.shown++
      window.shownAt = picture.mediaTime
    }
    window.shown = 0
    video.requestVideoFrameCallback(each)
  })
  await playing(browser)
}

const isNear = (browser) => browser.run(() => Boolean(window.freshet.player?.tracks))

for (const [name, kind] of Object.entries(BROWSERS)) {
  describe(name, { skip: kind.has() ? false : `${name} is not installed (deploy/install-deps --test)` }, () => {
    let browser, proxy
    before(async () => {
      if (kind.lacks) proxy = await without(cluster.url(''), kind.lacks)
      browser = await kind.start()
      browser.site = proxy ? `http://127.0.0.1:${proxy.address().port}` : cluster.url('')
    })
    after(async () => {
      await browser?.close()
      proxy?.closeAllConnections()
      proxy?.close()
    })
    const faultless = async () => assert.deepEqual(await browser.run(() => window.faults), [])

    test('the page plays live: pictures with their sound go on, near the live edge', { skip: kind.native }, async (t) => {
      t.diagnostic(`${name} ${browser.version}`)
      await watch(browser, '/watch/cam')
      const { decodedAudioBytes } = await metrics(browser)
      await goesOn(browser)
      const told = await browser.run(() => {
        const video = document.getElementById('video')
        return { sound: video.mozHasAudio ?? null, managed: 'ManagedMediaSource' in window && video.disableRemotePlayback }
      })
      if (kind.managed) assert.ok(told.managed, 'remote playback is given up')
      if (told.sound !== null) assert.ok(told.sound)
      if (decodedAudioBytes !== null) assert.ok((await metrics(browser)).decodedAudioBytes > decodedAudioBytes)
      const near = () => until('it is near its target', 30, async () => {
        const { latency, targetLatency } = await metrics(browser)
        if (latency > 0 && latency < targetLatency + (kind.managed ? 3.5 : 0.6)) return true // WebKitGTK now and then stays where it began
        throw new Error(`${latency} s behind, and is to be ${targetLatency}`)
      })
      await near()
      if (!kind.managed) {
        await browser.run(() => { document.getElementById('video').currentTime -= 1.5 }) // nobody asked the page for it
        await until('it is farther behind', 30, async () => { // or catches up already
          const { latency, targetLatency, playbackRate } = await metrics(browser)
          return latency > targetLatency + 0.8 || playbackRate > 1
        })
      }
      await near()
      await faultless()
    })

    test('who goes back twenty seconds sees what was then, stays there, and comes back by the live button', { skip: kind.loses || kind.native }, async () => {
      await watch(browser, '/watch/cam')
      await until('something to go back to', 60, async () => (await metrics(browser)).currentTime > 25)
      const { latency: near, currentTime: from } = await metrics(browser)
      await browser.run((to) => {
        const seek = document.getElementById('seek')
        seek.value = to
        for (const event of ['input', 'change']) seek.dispatchEvent(new Event(event))
      }, from - 20)
      await until('it is farther behind', 30, async () => await behind(browser) > near + 17)
      await goesOn(browser)
      const { currentTime: now, latency } = await metrics(browser)
      assert.ok(latency > near + 17, 'nobody pulled it to the live edge')
      const pictureAt = await browser.run(() => window.shownAt)
      assert.ok(pictureAt > from - 21 && pictureAt < now + 1, `a picture of ${pictureAt} s, at ${now} s`)
      await browser.press('l')
      await until('it is live again', 30, async () => await behind(browser) < near + 1.5)
      await goesOn(browser)
      assert.ok(await browser.run(() => window.shownAt) > from)
      await faultless()
    })

    test('low latency', { skip: kind.native }, async () => {
      await watch(browser, '/watch/cam')
      assert.ok(await browser.run(() => !document.getElementById('near').hidden))
      const toggle = () => browser.run(() => document.getElementById('near').click())
      await toggle()
      let from = null
      await until('two seconds without segments', 60, async () => {
        const { state, currentTime } = await metrics(browser), near = await isNear(browser)
        if (!near) { // on a busy machine it stands still too often, and gives up
          await toggle()
          await toggle()
          from = null
        } else if (state === 'playing') {
          from ??= currentTime
        }
        if (from !== null && currentTime > from + 2) return true
        const video = await browser.run(() => {
          const { paused, muted, readyState, playbackRate } = document.getElementById('video')
          return { paused, muted, readyState, playbackRate }
        })
        throw new Error(JSON.stringify({ state, near, currentTime, from, ...video }))
      })
      assert.ok(await browser.run(() => document.getElementById('video').muted), 'nobody has asked for sound')
      if (kind.managed) assert.ok(await browser.run(() => document.getElementById('video').disableRemotePlayback))
      await toggle()
      await until('it plays segments', 30, async () => !await isNear(browser) && (await metrics(browser)).state === 'playing')
      await goesOn(browser)
      await faultless()
    })

    test('a recording plays from its beginning, elsewhere by a key, and to its end', async () => {
      await watch(browser, `/watch/film?session=${film}`)
      if (kind.native) assert.match(await browser.run(() => document.getElementById('video').currentSrc), /\/master\.m3u8$/)
      assert.ok((await metrics(browser)).currentTime < 5, 'from its beginning')
      await until('it lasts ten seconds', 30, async () => {
        const length = await browser.run(() => document.getElementById('video').duration)
        if (Math.abs(length - 10) < 0.5) return true
        throw new Error(`it lasts ${length} s`)
      })
      await browser.press('ArrowRight')
      await until('it is there', 30, async () => (await metrics(browser)).currentTime >= 5)
      await until('it ends', 60, async () => (await metrics(browser)).state === 'ended')
      await faultless()
    })
  })
}
