// The player of tracks that come as one answer without an end: it plays live, changes rungs, bears an edge that goes, and ends with the broadcast.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Cluster, launch, openPage, until } from './harness.mjs'

let cluster, browser
before(async () => {
  cluster = new Cluster('--edges=2')
  browser = await launch()
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

// A page with nothing but the player; which edge its tracks come from is `base`'s to say.
async function play(stream, { base = '' } = {}) {
  const entry = await cluster.playable(stream)
  await until('its tracks', 30, async () => {
    const now = await cluster.state(stream)
    return now.tracks.filter((t) => /^avc/.test(t.codec)).length === 2 && now.tracks.some((t) => /^mp4a/.test(t.codec))
  })
  const page = await openPage(browser, cluster, '/', { bypassCSP: true })
  page.asked = []
  page.on('request', (request) => page.asked.push(new URL(request.url()).pathname))
  await page.setContent('<video id="v" muted></video>')
  await page.evaluate(async ([from, told]) => {
    const { TailPlayer } = await import('/web/tail.js')
    window.said = []
    const say = (what) => (text) => window.said.push(text ? `${what}: ${text}` : what)
    window.player = new TailPlayer(document.getElementById('v'), from, told,
      { started: say('started'), ended: say('ended'), failed: say('failed'), rung: say('rung') }, { stallsMost: Infinity, beginMs: Infinity }) // on a machine that does much else it stands still often
  }, [`${base}/live/${stream}/${entry.session}/`, await cluster.state(stream)])
  const seen = () => page.evaluate(() => {
    const v = document.getElementById('v'), quality = v.getVideoPlaybackQuality()
    return { ...window.player.metrics(), said: window.said, frames: quality.totalVideoFrames, height: v.videoHeight, ended: v.ended }
  })
  const playing = () => until('it plays', 30, async () => {
    const told = await seen()
    if (told.frames <= 30) throw new Error(JSON.stringify(told))
    return true
  })
  return { page, seen, playing, session: entry.session }
}

test('it plays live with one request a track, and no further behind than it says', async () => {
  const { stop } = cluster.publish('cam')
  const { page, seen, session } = await play('cam')
  await until('three hundred pictures', 60, async () => (await seen()).frames > 300)
  const told = await seen()
  assert.deepEqual(told.said.filter((what) => what !== 'rung'), ['started'])
  assert.ok(told.latency > 0.2, `it shows nothing before it was made: ${told.latency}`)
  const tails = page.asked.filter((path) => path.endsWith('/tail'))
  assert.deepEqual(page.asked.filter((path) => /\.(mpd|m3u8|m4s|mp4)$/.test(path)), [], 'no manifest, and nothing a second')
  assert.ok(tails.includes(`/live/cam/${session}/a96/tail`), tails.join(' '))
  const { buffered } = await page.evaluate(() => ({ buffered: document.getElementById('v').buffered.length }))
  assert.equal(buffered, 1, 'no hole')
  await page.context().close()
  await stop()
})

test('another rung takes over where a segment begins, and nothing is missing', async () => {
  const { stop } = cluster.publish('rungs')
  const { page, seen, playing } = await play('rungs')
  await playing()
  for (const height of [360, 180, 360]) {
    const id = await page.evaluate((wanted) => {
      const rung = window.player.rungs().find((r) => r.height === wanted)
      window.player.choose(rung.id)
      return rung.id
    }, height)
    await until(`${id} is shown`, 60, async () => (await seen()).height === height)
    const { frames } = await seen()
    await until('it goes on', 60, async () => (await seen()).frames > frames + 30)
    assert.equal(await page.evaluate(() => document.getElementById('v').buffered.length), 1, 'no hole')
  }
  assert.deepEqual((await seen()).said.filter((what) => what.startsWith('failed')), [])
  await page.context().close()
  await stop()
})

test('it goes on when its edge breaks off, and ends with the broadcast', async () => {
  const { stop } = cluster.publish('breaks')
  const { page, seen, playing } = await play('breaks')
  await playing()
  cluster.local('kill', 'edge-1')
  cluster.local('start', 'edge-1')
  const { frames } = await seen()
  await until('it goes on', 60, async () => (await seen()).frames > frames + 60)
  await stop()
  await until('it has ended', 60, async () => (await seen()).said.includes('ended'))
  const told = await seen()
  assert.deepEqual(told.said.filter((what) => what.startsWith('failed')), [])
  assert.ok(told.ended)
  await page.context().close()
})

test('what there is not is told at once', async () => {
  const page = await openPage(browser, cluster, '/', { bypassCSP: true })
  await page.setContent('<video id="v" muted></video>')
  const said = await page.evaluate(() => new Promise((told) => {
    import('/web/tail.js').then(({ TailPlayer }) => new TailPlayer(document.getElementById('v'), '/live/none/S1/',
      { started: '2026-01-31T12:34:56Z', tracks: [{ name: 'v360', codec: 'nonsense', bandwidth: 1 }, { name: 'v1', codec: 'avc1.000000', bandwidth: 1 }] },
      { failed: (text) => told(text), ended: () => told('ended') }))
  }))
  assert.ok(said)
  await page.context().close()
})
