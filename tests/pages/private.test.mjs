import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Cluster, launch, metrics, openPage, playing, token, until } from './harness.mjs'

let cluster, browser, keys, opened
before(async () => {
  keys = mkdtempSync(join(tmpdir(), 'freshet-keys-'))
  token('keygen', '--keys', join(keys, 'private.json'), '--public', join(keys, 'public.json'))
  cluster = new Cluster(`edged.view_jwks=${join(keys, 'public.json')}`, 'edged.private=["staff-*"]')
  browser = await launch()
  opened = `/t/${token('make', 'view', 'staff-*', '--for', '1h', '--keys', join(keys, 'private.json'))}`
  cluster.publish('staff-1', { title: 'Board room' })
  await cluster.playable('staff-1', opened)
})
after(async () => {
  await browser?.close()
  cluster?.down()
  rmSync(keys, { recursive: true })
})

test('a private stream plays at an address with a token: no other page is told of it, and nothing breaks the policy', async () => {
  const page = await openPage(browser, cluster, `${opened}/watch/staff-1`)
  const referrers = []
  page.on('request', (request) => referrers.push(request.headers().referer))
  await playing(page)
  const first = await metrics(page)
  await until('sixty more pictures', 20, async () => (await metrics(page)).decodedFrames >= first.decodedFrames + 60)
  assert.match(await page.textContent('#title'), /Board room/)
  const told = async (before) => (await (await fetch(cluster.url(`${before}/api/viewers`))).json()).viewers.map((v) => v.id)
  await until('who has the token is told how many watch', 60, async () => (await told(opened)).includes('staff-1'))
  assert.deepEqual(await told(''), [], 'nobody else is')
  assert.deepEqual(referrers.filter(Boolean), [])
  assert.deepEqual(page.strangers, [])
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('the list names it to who has a token, with links that keep the token, and to nobody else', async () => {
  const page = await openPage(browser, cluster, `${opened}/`)
  await page.waitForSelector('[data-stream="staff-1"]')
  assert.equal(await page.getAttribute('[data-stream="staff-1"] a', 'href'), `${opened}/watch/staff-1`)
  await page.context().close()
  const other = await openPage(browser, cluster, '/')
  await until('the list is there', 10, () => other.isVisible('#empty'))
  assert.equal(await other.locator('[data-stream]').count(), 0)
  assert.deepEqual(other.faults, [])
  await other.context().close()
})

test('without a token, or with one that has run out, the page says so and plays nothing', async () => {
  const short = `/t/${token('make', 'view', '*', '--for', '1s', '--keys', join(keys, 'private.json'))}`
  await until('it has run out', 10, async () => (await fetch(cluster.url(`${short}/live/staff-1/manifest.mpd`))).status === 401)
  for (const [before, words] of [['', /needs a token/], [short, /has expired/]]) {
    const page = await openPage(browser, cluster, `${before}/watch/staff-1`)
    await until('it says so', 10, async () => await page.textContent('#headline') === 'This stream is private')
    assert.match(await page.textContent('#detail'), words)
    assert.equal((await metrics(page)).state, 'error')
    assert.deepEqual(page.faults, [])
    await page.context().close()
  }
})

test('a page whose token runs out while it plays stops, and says why', async () => {
  let page
  for (let seconds = 12, plays = false; !plays; seconds *= 2) { // a slow browser may not be playing before it is over
    assert.ok(seconds < 200, 'the page does not play')
    await page?.context().close()
    const short = `/t/${token('make', 'view', 'staff-1', '--for', `${seconds}s`, '--keys', join(keys, 'private.json'))}`
    page = await openPage(browser, cluster, `${short}/watch/staff-1`)
    plays = await until('it plays, or is over already', 30, async () => {
      const m = await metrics(page)
      if (m.state === 'playing' && m.decodedFrames > 5 && m.width > 0) return 'plays'
      return await page.textContent('#headline') === 'This stream is private' && 'over'
    }) === 'plays'
  }
  await until('it says why', 30, async () => await page.textContent('#headline') === 'This stream is private')
  assert.match(await page.textContent('#detail'), /has expired/)
  await page.context().close()
})
