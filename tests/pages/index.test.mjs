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

test('what the watch page is made of has come before a card is clicked', async () => {
  const watch = await openPage(browser, cluster, '/watch/never'), page = await openPage(browser, cluster, '/')
  const scripts = await watch.evaluate(() => [...document.querySelectorAll('script[src], link[rel=modulepreload]')].map((e) => e.src || e.href))
  assert.ok(scripts.some((src) => src.endsWith('/web/dash.js')))
  await until('all of its modules are there', 20, async () => {
    const come = await page.evaluate(() => performance.getEntriesByType('resource').map((r) => r.name))
    return scripts.every((src) => come.includes(src) || src.endsWith('/embed.js'))
  })
  assert.deepEqual(page.faults, [])
  for (const one of [page, watch]) await one.context().close()
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

test('what is typed into the search box leaves those that are called so, and says when there are none', async () => {
  cluster.publish('harbour', { title: 'The old harbour' })
  cluster.publish('tower')
  await cluster.playable('harbour')
  await cluster.playable('tower')
  const page = await openPage(browser, cluster, '/')
  const shown = () => page.$$eval('#streams [data-stream]', (all) => all.map((e) => e.dataset.stream))
  await until('both are there', 20, async () => (await shown()).includes('harbour') && (await shown()).includes('tower'))
  await page.keyboard.press('/')
  await page.keyboard.type('OLD har')
  assert.deepEqual(await shown(), ['harbour'])
  await page.waitForResponse((answer) => answer.url().endsWith('/api/streams'))
  await page.waitForResponse((answer) => answer.url().endsWith('/api/streams'))
  assert.deepEqual(await shown(), ['harbour'], 'also when the list is read again')
  await hear(page)
  await page.fill('#search', 'lighthouse')
  assert.deepEqual(await shown(), [])
  assert.match(await page.textContent('#unfound'), /Nothing here is called “lighthouse”/)
  assert.equal(await page.isVisible('#empty'), false, 'that is not for who looks for something')
  assert.equal((await heard(page)).length, 1)
  await page.fill('#search', '')
  await until('all are back', 10, async () => (await shown()).includes('tower'))
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('a card says how many watch, and so does the watch page', async () => {
  if (!await cluster.state('harbour')) cluster.publish('harbour')
  await cluster.playable('harbour')
  const viewers = [await openPage(browser, cluster, '/watch/harbour'), await openPage(browser, cluster, '/watch/harbour')]
  const page = await openPage(browser, cluster, '/')
  await until('the card says so', 60, async () => /2 watching/.test(await page.textContent('#streams [data-stream=harbour]')))
  await until('and the page', 30, async () => /2 watching/.test(await viewers[0].textContent('#facts')))
  for (const one of [...viewers, page]) {
    assert.deepEqual(one.faults, [])
    await one.context().close()
  }
})

test('a card shows the newest picture of its stream, and has its place before there is one', async () => {
  if (!await cluster.state('harbour')) cluster.publish('harbour')
  await cluster.playable('harbour')
  const page = await openPage(browser, cluster, '/', { bypassCSP: true })
  let pictures = 0
  const jpeg = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(64, 36)
    canvas.getContext('2d').fillRect(0, 0, 64, 36)
    return [...new Uint8Array(await (await canvas.convertToBlob({ type: 'image/jpeg' })).arrayBuffer())]
  })
  let measured
  const asked = [], untilMeasured = new Promise((go) => { measured = go })
  await page.route('**/poster.jpg*', async (route) => {
    asked.push(new URL(route.request().url()).pathname)
    await untilMeasured
    await route.fulfill({ contentType: 'image/jpeg', body: Buffer.from(jpeg) })
  })
  await page.reload()
  const card = page.locator('#streams [data-stream=harbour]')
  await card.waitFor()
  await until('it was asked for', 20, () => asked.includes('/live/harbour/poster.jpg'))
  assert.equal(await card.locator('img').isVisible(), false)
  const before = await card.boundingBox()
  measured()
  await card.locator('img').waitFor()
  const after = await card.boundingBox()
  assert.equal(after.height, before.height)
  await page.context().close()
})
