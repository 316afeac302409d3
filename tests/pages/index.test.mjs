import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Cluster, launch, openPage, until } from './harness.mjs'

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
