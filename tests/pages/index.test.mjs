import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Cluster, hear, heard, launch, openPage, until } from './harness.mjs'

let cluster, browser
before(async () => {
  cluster = new Cluster()
  browser = await launch()
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

test('an empty server says how to publish, and a stream appears by itself with title and size', async () => {
  const page = await openPage(browser, cluster, '/')
  await page.waitForSelector('#empty:not([hidden])')
  assert.match(await page.textContent('#empty'), /rtmp:\/\/.+\/live/)
  const publisher = cluster.publish('listed', { title: 'A listed stream' })
  const card = page.locator('#streams [data-stream=listed]')
  await card.waitFor()
  await until('the size is told', 20, async () => /640 × 360/.test(await card.textContent()))
  assert.match(await card.textContent(), /Live/)
  assert.match(await card.textContent(), /A listed stream/)
  assert.equal(await page.isVisible('#empty'), false)
  await publisher.stop()
  await page.locator('#ended [data-stream=listed]').waitFor()
  assert.deepEqual(page.faults, [])
  assert.deepEqual(page.strangers, [])
})

test('only what is new is said aloud, and a card with the focus keeps it while the list is read again', async () => {
  const page = await openPage(browser, cluster, '/')
  await page.waitForSelector('#streams [data-stream], #empty:not([hidden])')
  await hear(page)
  const publisher = cluster.publish('told', { title: 'A told stream' })
  const card = page.locator('#streams [data-stream=told]')
  await card.waitFor()
  await card.locator('a').focus()
  await until('the size is told', 20, async () => /640 × 360/.test(await card.textContent()))
  for (let reads = 0; reads < 3; reads++) await page.waitForResponse((answer) => answer.url().endsWith('/api/streams'))
  assert.equal(await page.evaluate(() => document.activeElement.closest('[data-stream]')?.dataset.stream), 'told')
  assert.deepEqual(await heard(page), ['A told stream is live now.'])
  await publisher.stop()
  await page.locator('#ended [data-stream=told]').waitFor()
  assert.deepEqual(await heard(page), ['A told stream is live now.', 'A told stream has ended.'])
  await page.context().close()
})

test('a card leads to the watch page', async () => {
  cluster.publish('linked')
  await cluster.playable('linked')
  const page = await openPage(browser, cluster, '/')
  await page.click('#streams [data-stream=linked] a')
  await page.waitForURL('**/watch/linked')
  await page.waitForSelector('video')
})

test('on a phone nothing is wider than the screen', async () => {
  const page = await openPage(browser, cluster, '/', { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true })
  await page.waitForSelector('#streams [data-stream], #empty:not([hidden])')
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
})
