// The pages over more recordings than one list has.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Cluster, launch, metrics, openPage, top, until } from './harness.mjs'

const MANY = 1250, A_PAGE = 100, STREAMS = 13 // make_store makes a hundred of each stream

let cluster, browser
before(async () => {
  cluster = new Cluster((dir) => {
    mkdirSync(join(dir, 'data'))
    execFileSync(join(top, 'build', 'release', 'tools', 'make_store'), ['heads', join(dir, 'data', 'origin-1'), String(MANY)])
  }, 'edged.private=["cam-3"]')
  browser = await launch()
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

const keys = (page) => page.$$eval('#ended li', (items) => items.map((item) => item.dataset.key))

test('the newest recording of each stream is shown at once, and all the others page by page', async () => {
  const page = await openPage(browser, cluster, '/')
  await until('the newest are there', 20, async () => (await keys(page)).length === STREAMS - 1)
  await page.click('#more')
  await until('a page more', 20, async () => (await keys(page)).length > A_PAGE / 2)
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true })
  for (let had = 0; await page.isVisible('#more');) {
    had = (await keys(page)).length
    await page.click('#more')
    await until('a page more, or the end', 20, async () => (await keys(page)).length > had || !(await page.isVisible('#more')))
  }
  const all = await keys(page)
  assert.equal(all.length, MANY - 100) // but for those of the private stream
  assert.equal(new Set(all).size, all.length)
  assert.equal(all.filter((key) => key.startsWith('cam-3/')).length, 0)
  const polled = page.waitForResponse((answer) => new URL(answer.url()).pathname === '/api/streams')
  await polled
  assert.equal((await keys(page)).length, all.length) // what was asked for stays when the list is told again
  assert.deepEqual(page.faults, [])
})

test('a page that comes late says so, and the button stays', async () => {
  const page = await openPage(browser, cluster, '/')
  await page.waitForSelector('#more:not([hidden])')
  await page.route('**/api/recordings', (route) => route.abort())
  await page.click('#more')
  await until('it says so', 20, async () => /Older recordings cannot be read right now/.test(await page.textContent('#notice')))
  for (let polls = 0; polls < 2; polls++) await page.waitForResponse((answer) => new URL(answer.url()).pathname === '/api/streams')
  assert.match(await page.textContent('#notice'), /Older recordings/) // still, though the list itself can be read
  assert.equal(await page.isEnabled('#more'), true)
})

test('an older recording plays at its address, while its stream is live', async () => {
  await cluster.publish('twice', { seconds: 4 }).ended
  const older = await until('the first one ended', 30, async () => {
    const entry = await cluster.state('twice')
    return entry?.state === 'ended' && entry
  })
  const again = cluster.publish('twice')
  await until('the second one is live', 30, async () => (await cluster.state('twice'))?.state === 'live')
  const index = await openPage(browser, cluster, '/')
  await index.waitForSelector('#more:not([hidden])')
  await index.click('#more')
  await index.click(`#ended [data-key="twice/${older.session}"] a`)
  await index.waitForURL(`**/watch/twice?session=${older.session}`)
  await until('it plays', 30, async () => {
    const m = await metrics(index)
    return m.state === 'playing' && m.session === older.session && m.decodedFrames > 5
  })
  await until('it ends, and stays there', 30, async () => (await metrics(index)).state === 'ended')
  assert.equal(await index.textContent('#detail'), '') // nothing begins again at this address
  await index.waitForResponse((answer) => new URL(answer.url()).pathname === '/api/streams')
  await index.waitForResponse((answer) => new URL(answer.url()).pathname === '/api/streams') // the one before was judged by now
  assert.equal((await metrics(index)).session, older.session)
  await again.stop()
  const gone = await openPage(browser, cluster, '/watch/twice?session=20200101T000000Z-00000000')
  await until('it says so', 20, async () => /There is no such recording/.test(await gone.textContent('#headline')))
})

test('a stream that is not among the newest is played all the same', async () => {
  const entry = await until('it ended', 60, async () => {
    const told = await cluster.state('twice')
    return told?.state === 'ended' && told
  })
  const page = await (await browser.newContext()).newPage()
  await page.route('**/api/streams', (route) => route.fulfill({ json: { streams: [], next: '/api/recordings' } }))
  await page.goto(cluster.url('/watch/twice'))
  await until('it is offered', 30, async () => (await metrics(page)).state === 'ended')
  assert.equal((await metrics(page)).session, entry.session)
})
