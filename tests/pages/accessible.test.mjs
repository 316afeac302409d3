// The pages as axe-core sees them, in each of their states, on a desk in light colours and on a phone in dark ones: nothing serious.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Cluster, launch, metrics, openPage, playing, top, until } from './harness.mjs'

const axe = readFileSync(join(top, 'tests/pages/node_modules/axe-core/axe.min.js'), 'utf8')
const SCREENS = {
  'a desk': { viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  'a phone': { viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true, colorScheme: 'dark' },
}
let cluster, browser
before(async () => {
  cluster = new Cluster()
  browser = await launch()
  cluster.publish('cam', { title: 'Camera one' })
  await cluster.publish('film', { seconds: 8 }).ended
  await cluster.playable('cam')
  await until('the film is over', 60, async () => (await cluster.state('film'))?.state === 'ended')
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

async function check(page, what) {
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT.replace('.png', `-${what.replaceAll(/\W+/g, '-')}.png`) })
  if (!await page.evaluate(() => Boolean(window.axe))) await page.addScriptTag({ content: axe })
  const found = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ['violations'] })).violations
    .map(({ id, impact, help, nodes }) => ({ id, impact, help, at: nodes.map((node) => node.target.join(' ')) })))
  assert.deepEqual(found.filter(({ impact }) => impact === 'serious' || impact === 'critical'), [], what)
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${what}: wider than the screen`)
}

for (const [screen, options] of Object.entries(SCREENS))
  test(`the pages have no serious fault on ${screen}`, async () => {
    const open = (path) => openPage(browser, cluster, path, { ...options, bypassCSP: true })
    const index = await open('/')
    await until('cards', 30, async () => await index.locator('.card').count() >= 2)
    await check(index, `first page on ${screen}`)
    await index.context().close()

    const live = await open('/watch/cam')
    await playing(live)
    await check(live, `live on ${screen}`)
    await live.click('#share')
    await check(live, `sharing on ${screen}`)
    await live.context().close()

    const film = await open('/watch/film')
    await until('it is offered', 30, async () => (await metrics(film)).state === 'ended')
    await check(film, `ended on ${screen}`)
    await film.click('#action')
    await playing(film)
    await film.waitForSelector('#speed', { state: 'visible' })
    const row = await film.locator('.row').evaluate((e) => e.scrollWidth - e.clientWidth)
    assert.ok(row <= 0, 'all controls are on the screen')
    await check(film, `recording on ${screen}`)
    await film.context().close()

    const frame = await open('/embed/cam')
    await playing(frame)
    await check(frame, `frame on ${screen}`)
    await frame.context().close()

    const missing = await open('/watch/nobody')
    await until('it says so', 30, async () => (await metrics(missing)).state === 'waiting')
    await check(missing, `waiting on ${screen}`)
    await missing.context().close()
  })
