// What a viewer expects of any page that plays something.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Cluster, clickControl, launch, metrics, openPage, playing, until } from './harness.mjs'

let cluster, browser, film
before(async () => {
  cluster = new Cluster()
  browser = await launch()
  cluster.publish('cam', { title: 'Camera one' })
  film = cluster.publish('film', { seconds: 12 })
  await cluster.playable('cam')
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

async function watching(path = '/watch/cam', options = {}) {
  const page = await openPage(browser, cluster, path, options)
  await playing(page)
  return page
}

async function done(page) {
  assert.deepEqual(page.faults, [])
  assert.deepEqual(page.strangers, [])
  await page.context().close()
}

const video = (page, what) => page.evaluate((w) => document.querySelector('video')[w], what)
const window_ = (page) => page.evaluate(() => {
  const { start, end } = window.freshet.player.getDvrWindow()
  return end - start
})

test('how loud it was is remembered', async () => {
  const page = await watching()
  await page.click('#unmute')
  await page.locator('body').press('ArrowDown')
  await page.locator('body').press('ArrowDown')
  const volume = await video(page, 'volume')
  assert.ok(volume < 0.85)
  await page.reload()
  await playing(page)
  assert.equal(await video(page, 'volume'), volume)
  assert.equal(await video(page, 'muted'), false)
  await page.keyboard.press('m')
  await page.reload()
  await playing(page)
  assert.equal(await video(page, 'muted'), true)
  await done(page)
})

test('a browser that lets no page begin with sound begins without, and offers it', async () => {
  const page = await openPage(browser, cluster, '/')
  await page.evaluate(() => localStorage.setItem('freshet', JSON.stringify({ muted: false })))
  await page.addInitScript(() => {
    const play = HTMLMediaElement.prototype.play
    HTMLMediaElement.prototype.play = function () {
      return this.muted ? play.call(this) : Promise.reject(new DOMException('not before a click', 'NotAllowedError'))
    }
    new MutationObserver(() => document.querySelector('video')?.removeAttribute('autoplay')).observe(document, { childList: true, subtree: true })
  })
  await page.goto(cluster.url('/watch/cam'))
  await playing(page)
  assert.equal(await video(page, 'muted'), true)
  await page.waitForSelector('#unmute:not([hidden])')
  await done(page)
})

test('the latency that is told is from the camera on, by the manifest\'s producer reference time', async () => {
  const page = await watching()
  const text = await (await fetch(cluster.url('/live/cam/manifest.mpd'))).text()
  const captured = Date.parse(text.match(/wallClockTime="([^"]+)"/)[1])
  assert.ok(captured < Date.parse(text.match(/availabilityStartTime="([^"]+)"/)[1]), 'the two differ')
  // The browser's clock and the servers' are this machine's.
  const off = await page.evaluate((since) => {
    const { latency, currentTime } = window.freshet.metrics()
    return latency - ((Date.now() - since) / 1000 - currentTime)
  }, captured)
  assert.ok(Math.abs(off) < 0.15, `${off} s`)
  await done(page)
})

test('a viewer whose connection is slow is kept further behind', async () => {
  const page = await watching()
  await page.route('**/*.m4s', async (route) => {
    await new Promise((wake) => setTimeout(wake, 900))
    await route.continue().catch(() => {})
  })
  await until('the target is further behind', 30, async () => {
    const { targetLatency, newestAge } = await metrics(page)
    return newestAge > 1.05 && targetLatency > 1.1
  })
  await until('and so is the viewer', 60, async () => (await metrics(page)).latency > 1.05)
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await done(page)
})

test('a broadcast that is seconds late is found, and played as late as it is', async () => {
  const LATE_S = 7
  await until('it is old enough', 60, async () => Date.now() - Date.parse((await cluster.state('cam')).started) > 25000)
  const since = Date.parse((await cluster.state('cam')).started)
  const page = await openPage(browser, cluster, '/favicon.ico')
  await page.route('**/*.m4s', (route) => {
    const ends = Number(route.request().url().match(/(\d+)\.m4s/)[1]) + 1
    return (Date.now() - since) / 1000 > ends + LATE_S ? route.continue() : route.fulfill({ status: 503 })
  })
  await page.goto(cluster.url('/watch/cam'))
  await playing(page, 60)
  const { currentTime } = await metrics(page)
  await until('it goes on', 60, async () => (await metrics(page)).currentTime > currentTime + 5)
  assert.ok((await metrics(page)).latency > LATE_S - 1)
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await done(page)
})

test('who pauses goes on where he was, and stays there', async () => {
  const page = await watching()
  await page.keyboard.press(' ')
  const at = await video(page, 'currentTime'), { latency } = await metrics(page)
  await until('five seconds are missed', 20, async () => (await metrics(page)).latency > latency + 5)
  await page.keyboard.press(' ')
  await until('two seconds are played', 20, async () => await video(page, 'currentTime') > at + 2)
  const then = await metrics(page)
  assert.ok(then.latency > latency + 3.5, `thrown from ${latency + 5} to ${then.latency} s behind`)
  assert.equal(await page.textContent('#live-text'), 'Go live')
  await done(page)
})

async function interruptedAndBack(page) {
  await page.route('**/*.m4s', (route) => route.abort())
  await until('it is interrupted', 90, async () => await page.textContent('#headline') === 'Playing was interrupted')
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await playing(page, 60)
}

test('who went back is there again when playing was interrupted, and not at the live edge', async () => {
  const page = await watching()
  await until('there is something to go back to', 60, async () => (await metrics(page)).currentTime > 20)
  for (let n = 0; n < 3; n++) await page.keyboard.press('ArrowLeft')
  await until('he is far behind', 30, async () => (await metrics(page)).latency > 10)
  await until('pictures move', 30, async () => (await metrics(page)).state === 'playing')
  const { latency } = await metrics(page)
  await interruptedAndBack(page)
  assert.ok((await metrics(page)).latency > latency - 1, `thrown from ${latency} to ${(await metrics(page)).latency} s behind`)
  await done(page)
})

test('a recording goes on where it was interrupted', async () => {
  await film.ended
  const { session } = await until('it is over', 60, async () => {
    const told = await cluster.state('film')
    return told?.state === 'ended' && told
  })
  const page = await openPage(browser, cluster, '/favicon.ico')
  await page.route('**/*.m4s', (route) => (Number(route.request().url().match(/(\d+)\.m4s/)[1]) < 6 ? route.continue() : route.abort()))
  await page.goto(cluster.url(`/watch/film?session=${session}`))
  await playing(page, 60)
  await until('it is interrupted', 90, async () => await page.textContent('#headline') === 'Playing was interrupted')
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await playing(page, 60)
  assert.ok(await video(page, 'currentTime') > 1, 'it began anew')
  await done(page)
})

test('ten seconds that were seen are still there for who goes back', async () => {
  const page = await watching()
  await until('twelve seconds are played', 40, () => page.evaluate(() => {
    const { played } = document.querySelector('video')
    return played.length && played.end(played.length - 1) - played.start(played.length - 1) > 12
  }))
  const asked = []
  const at = await video(page, 'currentTime')
  page.on('request', (r) => /\/v[^/]*\/\d+\.m4s/.test(r.url()) && asked.push(Number(r.url().match(/(\d+)\.m4s/)[1])))
  await page.keyboard.press('ArrowLeft')
  await page.keyboard.press('ArrowLeft')
  await until('it plays there', 20, async () => {
    const now = await video(page, 'currentTime')
    return now > at - 9.5 && now < at - 5
  })
  assert.deepEqual(asked.filter((n) => n >= at - 10 && n < at - 2), [], 'nothing of it is loaded again')
  await done(page)
})

test('an address names a moment: of a live broadcast, and of a recording', async () => {
  const early = await watching()
  await until('twenty seconds to go back to', 60, async () => await window_(early) > 20)
  const moment = Math.floor(await video(early, 'currentTime')) - 12
  await done(early)
  const page = await openPage(browser, cluster, `/watch/cam?t=${moment}`)
  await playing(page)
  const first = await metrics(page)
  assert.ok(first.currentTime >= moment && first.latency > 10, `began at ${first.currentTime}, ${first.latency} s behind`)
  const { currentTime } = first
  await until('it goes on from there', 20, async () => (await metrics(page)).currentTime > currentTime + 1)
  assert.ok((await metrics(page)).latency > 5, 'and is not pulled to the live edge')
  await clickControl(page, '#live')
  await until('the live button is as good as ever', 30, async () => (await metrics(page)).latency < (await metrics(page)).targetLatency + 1)
  await done(page)
  await film.ended
  const entry = await until('the film is over', 60, async () => {
    const one = await cluster.state('film')
    return one?.state === 'ended' && one
  })
  const recording = await openPage(browser, cluster, `/watch/film?session=${entry.session}&t=0m5s`)
  await playing(recording)
  const at = await video(recording, 'currentTime')
  assert.ok(at >= 5 && at < 11, `began at ${at}`)
  await done(recording)
})

test('it can be handed on: the address, a moment of it, and a frame that plays in another page', async () => {
  const page = await watching()
  await page.click('#share')
  assert.equal(await page.inputValue('#share-link'), cluster.url('/watch/cam'))
  await page.check('#share-at')
  assert.match(await page.inputValue('#share-link'), /\/watch\/cam\?t=\d+$/)
  await page.uncheck('#share-at')
  const snippet = await page.inputValue('#share-frame')
  await page.keyboard.press('Escape')
  await until('the dialog is closed', 10, () => page.evaluate(() => !document.getElementById('share-dialog').open))
  await done(page)
  const host = await openPage(browser, cluster, '/robots.txt', { bypassCSP: true }) // no script of ours is in it
  await host.setContent(snippet)
  const frame = await until('the frame', 20, () => host.frames().find((f) => f.url().endsWith('/embed/cam')))
  await until('it plays', 30, () => frame.evaluate(() => {
    const m = window.freshet?.metrics()
    return m?.state === 'playing' && m.decodedFrames > 5
  }))
  const shown = await frame.evaluate(() => ({ bar: document.querySelector('.bar').checkVisibility(), height: document.getElementById('stage').clientHeight,
    room: innerHeight, out: document.getElementById('out').href, wide: document.documentElement.scrollWidth > innerWidth }))
  assert.deepEqual(shown, { bar: false, height: 360, room: 360, out: cluster.url('/watch/cam'), wide: false })
  await done(host)
})

test('media keys and lock screens know what plays, and steer it', async () => {
  const page = await openPage(browser, cluster, '/favicon.ico', {}) // before any script of the page
  await page.addInitScript(() => {
    window.keys = {}
    const set = MediaSession.prototype.setActionHandler
    MediaSession.prototype.setActionHandler = function (name, act) { window.keys[name] = act; set.call(this, name, act) }
  })
  await page.goto(cluster.url('/watch/cam'))
  await playing(page)
  await until('the title', 10, () => page.evaluate(() => navigator.mediaSession.metadata?.title === 'Camera one'))
  await page.evaluate(() => window.keys.pause())
  await until('paused', 10, () => page.evaluate(() => document.querySelector('video').paused && navigator.mediaSession.playbackState === 'paused'))
  await page.evaluate(() => window.keys.play())
  await until('it plays', 10, () => page.evaluate(() => navigator.mediaSession.playbackState === 'playing'))
  await until('something to go back to', 40, async () => await window_(page) > 12)
  const { latency } = await metrics(page)
  await page.evaluate(() => window.keys.seekbackward({ seekOffset: 8 }))
  await until('eight seconds back', 10, async () => (await metrics(page)).latency > latency + 6)
  await done(page)
})

test('who looks for a place is told which one it is, and a click goes there', async () => {
  const page = await watching()
  await until('something to go back to', 40, async () => await window_(page) > 12)
  const { x, y, width, height } = await page.locator('#seek').boundingBox()
  await page.mouse.move(x + width / 3, y - 50) // wakes controls that have gone
  await page.mouse.move(x + width / 2, y + height / 2)
  await page.waitForSelector('#peek:not([hidden])')
  assert.match(await page.textContent('#peek-time'), /^−\d+:\d\d$/)
  const inside = await page.evaluate(() => {
    const peek = document.getElementById('peek').getBoundingClientRect(), stage = document.getElementById('stage').getBoundingClientRect()
    return peek.left >= stage.left && peek.right <= stage.right && peek.bottom <= stage.bottom
  })
  assert.ok(inside)
  await page.mouse.click(x + width / 2, y + height / 2)
  await until('it plays there', 20, async () => (await metrics(page)).latency > 4)
  await page.mouse.move(x + width / 2, y - 150)
  await page.waitForSelector('#peek', { state: 'hidden' })
  await done(page)
})

test('a recording can be kept as a file, a live broadcast not yet', async () => {
  const live = await watching()
  assert.equal(await live.isVisible('#save'), false)
  await done(live)
  await film.ended
  await until('the film is over', 60, async () => (await cluster.state('film'))?.state === 'ended')
  const page = await openPage(browser, cluster, '/watch/film')
  await page.waitForSelector('#save:not([hidden])')
  const answer = await fetch(await page.evaluate(() => document.getElementById('save').href), { headers: { Range: 'bytes=0-99' } })
  assert.deepEqual([answer.status, answer.headers.get('content-type')], [206, 'video/mp4'])
  await answer.arrayBuffer()
  await done(page)
})

test('a place that is looked for has a picture, live and in a recording, and so has the page before it plays', async () => {
  const shows = async (page) => {
    const { x, y, width, height } = await page.locator('#seek').boundingBox()
    await page.mouse.move(x + width / 3, y - 50)
    await page.mouse.move(x + width / 2, y + height / 2)
    await page.waitForSelector('#peek-picture:not([hidden])')
    const { address, wide } = await page.$eval('#peek-picture', (e) => ({ address: e.style.backgroundImage.match(/url\("(.+)"\)/)[1], wide: e.clientWidth }))
    assert.ok(wide > 100)
    const answer = await fetch(new URL(address, page.url()))
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'image/jpeg'], address)
    await answer.arrayBuffer()
  }
  const page = await watching()
  await until('something to go back to', 60, async () => await window_(page) > 18)
  await shows(page)
  await done(page)
  await film.ended
  await until('the film is over', 60, async () => (await cluster.state('film'))?.state === 'ended')
  const recording = await openPage(browser, cluster, '/watch/film')
  await until('it is offered', 60, async () => (await metrics(recording)).state === 'ended')
  await until('with its picture', 30, () => recording.evaluate(() => document.getElementById('poster').naturalWidth > 100))
  await recording.click('#action')
  await playing(recording)
  await shows(recording)
  await done(recording)
})

test('picture in picture is offered where the browser has it', async () => {
  const page = await watching()
  const has = await page.evaluate(() => document.pictureInPictureEnabled)
  assert.equal(await page.isVisible('#pip'), has)
  await page.evaluate(() => { HTMLVideoElement.prototype.requestPictureInPicture = async function () { window.shrunk = this.id } })
  await page.keyboard.press('p')
  assert.equal(await page.evaluate(() => window.shrunk), 'video')
  await done(page)
})

test('all that a page is made of is asked for at once, not when the file that wants it has come', async () => {
  for (const path of ['/watch/never', '/']) {
    const page = await openPage(browser, cluster, path)
    await page.waitForResponse((answer) => answer.url().endsWith('/api/streams'))
    const late = await page.evaluate(() => {
      const named = new Set([...document.querySelectorAll('link, script')].map((e) => e.href || e.src))
      return performance.getEntriesByType('resource').map((r) => r.name).filter((name) => /\/web\/.*\.js$/.test(name) && !named.has(name))
    })
    assert.deepEqual(late.filter((name) => !/\/(tail|boxes)\.js$/.test(name)), [], path) // only where somebody wants it
    await done(page)
  }
})

test('nothing moves while a page is loaded', async () => {
  for (const path of ['/watch/cam', '/', '/embed/cam', '/watch/never']) {
    const page = await openPage(browser, cluster, path)
    if (path.endsWith('cam')) await playing(page)
    else await page.waitForResponse((answer) => answer.url().endsWith('/api/streams'))
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))))
    const shifted = await page.evaluate(() => new Promise((told) => {
      let sum = 0
      new PerformanceObserver((list) => { for (const one of list.getEntries()) sum += one.hadRecentInput ? 0 : one.value })
        .observe({ type: 'layout-shift', buffered: true })
      setTimeout(() => told(sum), 200)
    }))
    assert.ok(shifted < 0.02, `${path}: ${shifted}`)
    await done(page)
  }
})

test('each state has a picture and words', async () => {
  const sign = (page) => page.$$eval('#veil .sign, #veil .spinner', (all) => all.filter((e) => e.checkVisibility()).length)
  const words = async (page) => (await page.textContent('#headline')).length > 3
  const waiting = await openPage(browser, cluster, '/watch/never')
  await until('it waits', 20, async () => /Not live yet/.test(await waiting.textContent('#headline')))
  assert.equal(await sign(waiting), 1)
  await done(waiting)
  await film.ended
  const ended = await openPage(browser, cluster, '/watch/film')
  await until('it has ended', 60, async () => (await metrics(ended)).state === 'ended')
  assert.ok(await words(ended))
  assert.equal(await sign(ended), 1)
  await done(ended)
  const gone = await openPage(browser, cluster, '/watch/film?session=20200101T000000Z-00000000')
  await until('there is no such recording', 20, async () => (await metrics(gone)).state === 'error')
  assert.ok(await words(gone))
  assert.equal(await sign(gone), 1)
  await done(gone)
})

test('who was without a network goes on by himself when it is back', async () => {
  const page = await watching()
  await page.context().setOffline(true)
  await until('the picture stands still, and it says so', 30, async () => (await metrics(page)).state !== 'playing')
  await page.context().setOffline(false)
  await playing(page)
  const { decodedFrames } = await metrics(page)
  await until('pictures go on', 30, async () => (await metrics(page)).decodedFrames > decodedFrames + 30)
  await done(page)
})

test('a browser without Media Source Extensions plays with its own player of HLS', async (t) => {
  const page = await openPage(browser, cluster, '/')
  await page.addInitScript(() => {
    delete window.MediaSource
    delete window.ManagedMediaSource
    delete window.WebKitMediaSource
  })
  const asked = []
  page.on('request', (request) => asked.push(new URL(request.url()).pathname))
  await page.goto(cluster.url('/watch/cam'))
  if (!await page.evaluate(() => document.createElement('video').canPlayType('application/vnd.apple.mpegurl'))) {
    t.diagnostic('this browser plays no HLS: it must say so')
    await until('it says so', 20, async () => (await metrics(page)).state === 'error')
    await done(page)
    return
  }
  await playing(page)
  assert.ok(asked.includes('/live/cam/master.m3u8'))
  assert.equal(asked.filter((path) => path.endsWith('.mpd')).length, 0)
  await page.keyboard.press(' ')
  assert.equal(await video(page, 'paused'), true)
  await clickControl(page, '#live')
  await until('it goes on', 20, async () => !await video(page, 'paused'))
  await done(page)
})
