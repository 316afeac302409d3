import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Cluster, hear, heard, launch, metrics, openPage, playing, until } from './harness.mjs'

let cluster, browser
before(async () => {
  cluster = new Cluster()
  browser = await launch()
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

test('before, during and after: waits in words, starts by itself, offers the recording from the start', async () => {
  const page = await openPage(browser, cluster, '/watch/later')
  await until('it says that it waits', 20, async () => /Not live yet/.test(await page.textContent('#headline')))
  const publisher = cluster.publish('later')
  await playing(page)
  await until('some seconds to look back on', 30, async () => (await metrics(page)).decodedFrames > 120)
  await page.evaluate(() => {
    window.said = []
    new MutationObserver(() => window.said.push(document.getElementById('headline').textContent))
      .observe(document.getElementById('headline'), { childList: true, characterData: true, subtree: true })
  })
  await publisher.stop()
  await until('it says that it ended', 40, async () => /has ended/.test(await page.textContent('#headline')))
  assert.deepEqual(await page.evaluate(() => [...new Set(window.said)]), ['The broadcast has ended'], 'an end is no interruption')
  await page.click('#action')
  await playing(page)
  const { currentTime } = await metrics(page)
  assert.ok(currentTime < 4, `the recording plays from ${currentTime} s`)
  await until('the recording comes to its end', 60, async () => (await metrics(page)).state === 'ended')
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('a broadcast that begins again is picked up without a click', async () => {
  const first = cluster.publish('again', { seconds: 4 })
  await cluster.playable('again')
  const page = await openPage(browser, cluster, '/watch/again')
  await first.ended
  await until('it says that it ended', 40, async () => /has ended/.test(await page.textContent('#headline')))
  const over = (await metrics(page)).session
  cluster.publish('again')
  await playing(page)
  assert.notEqual((await metrics(page)).session, over)
  await page.context().close()
})

test('a broadcaster whose connection broke is told of, and the picture goes on when it is back', async () => {
  const first = cluster.publish('slate')
  await cluster.playable('slate')
  const page = await openPage(browser, cluster, '/watch/slate')
  await playing(page)
  const { session } = await metrics(page)
  await first.kill()
  await page.waitForSelector('#slate:not([hidden])')
  assert.equal((await metrics(page)).state, 'playing')
  cluster.publish('slate')
  await page.waitForSelector('#slate', { state: 'hidden' })
  const back = await metrics(page)
  assert.equal(back.session, session)
  await until('pictures go on', 20, async () => (await metrics(page)).decodedFrames > back.decodedFrames + 30)
  await page.context().close()
})

test('a picture that stands still is told in words, once, with the picture left to be seen; and it goes on when the edge is back', async () => {
  cluster.publish('stalls')
  await cluster.playable('stalls')
  const page = await openPage(browser, cluster, '/watch/stalls')
  await playing(page)
  await hear(page)
  cluster.local('freeze', 'edge-1')
  try {
    await page.waitForSelector('#stage[data-state=stalled]')
    assert.match(await page.textContent('#headline'), /stands still/)
    assert.equal(await page.isVisible('#headline'), true)
    assert.equal(await page.isVisible('#play'), true, 'the controls are there')
    await until('it says that the server does not answer', 20, async () => /server does not answer/.test(await page.textContent('#detail')))
    const words = await heard(page)
    assert.match(words[0], /^The picture stands still\. Nothing more has come so far/)
    assert.equal(words.filter((said) => /stands still/.test(said)).length, 1)
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/stalled.png` })
  } finally {
    cluster.local('thaw', 'edge-1')
  }
  const { decodedFrames = 0 } = await metrics(page)
  await until('it says that it goes on', 60, async () => (await heard(page)).includes('It plays.'))
  await until('pictures go on', 30, async () => (await metrics(page)).decodedFrames > decodedFrames)
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('an address that can be no stream is said in words', async () => {
  const answer = await fetch(cluster.url('/watch/no%20such'))
  assert.ok(answer.status >= 400 && answer.status < 500)
})
