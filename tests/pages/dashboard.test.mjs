// `freshet dashboard` of a real cluster, in a browser.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Cluster, launch, patient, top, until } from './harness.mjs'

let cluster, browser, child, url
before(async () => {
  cluster = new Cluster()
  browser = await launch()
  child = spawn(join(top, 'deploy', 'freshet'), ['dashboard', '--dir', cluster.dir, '--listen', '127.0.0.1:0', '--every', '0.5',
    '--timeout', '30'], // a node that is slow to answer is no problem to show
    { stdio: ['ignore', 'pipe', 'inherit'] })
  url = await new Promise((tell) => child.stdout.once('data', (text) => tell(/http:\S+/.exec(text)[0])))
})
after(async () => {
  child?.kill('SIGTERM')
  await browser?.close()
  cluster?.down()
})

async function open(width = 1440) {
  const page = await browser.newPage({ viewport: { width, height: 900 } })
  patient(page)
  page.faults = []
  page.strangers = []
  const own = [new URL(url).host, new URL(cluster.url('')).host]
  page.on('pageerror', (error) => page.faults.push(error.message))
  page.on('console', (said) => /Content.Security.Policy|Refused to/i.test(said.text()) && page.faults.push(said.text()))
  page.on('request', (request) => {
    const { host, protocol } = new URL(request.url())
    if (protocol.startsWith('http') && !own.includes(host)) page.strangers.push(request.url())
  })
  await page.goto(url)
  return page
}

// Asks for each segment before it is there, as the last hop is measured then. A player may be further behind on a slow machine.
function viewAtTheLiveEdge(stream) {
  const stopped = new AbortController()
  const run = async () => {
    const { session, started } = await cluster.state(stream)
    while (!stopped.signal.aborted) {
      const next = Math.floor((Date.now() - Date.parse(started)) / 1000) + 1
      const answer = await fetch(cluster.url(`/live/${stream}/${session}/v180/${next}.m4s`), { signal: stopped.signal })
      await answer.arrayBuffer()
    }
  }
  const ended = run().catch((error) => { if (!stopped.signal.aborted) throw error })
  return { stop: () => { stopped.abort(); return ended } }
}

const text = (page, selector) => page.locator(selector).first().textContent()

test('an empty cluster is shown ready, with nothing live and nothing wrong', async () => {
  const page = await open()
  await until('four nodes', 20, async () => (await page.locator('#nodes tr').count()) === 4)
  await until('all are ready', 20, async () => /4 of 4 nodes ready/.test(await text(page, '#health')))
  assert.equal(await text(page, '#streams .empty'), 'No stream is live.')
  await until('nothing is wrong', 20, async () => (await text(page, '#problem-list')) === 'Nothing.')
  await page.close()
})

test('a stream appears with its moving picture, its title as text, and how old it is at each hop', async () => {
  const publisher = cluster.publish('shown', { title: '<b>Camera</b> & "co"' })
  await cluster.playable('shown')
  const page = await open()
  const card = page.locator('.stream').filter({ has: page.locator('strong', { hasText: /^shown$/ }) })
  await card.waitFor()
  assert.equal(await card.locator('.title').textContent(), '<b>Camera</b> & "co"')
  assert.equal(await card.locator('.state').textContent(), 'live')
  const video = card.locator('video')
  await until('the picture moves', 40, async () => video.evaluate((v) => v.videoHeight > 0 && v.currentTime > 1 && !v.paused))
  assert.equal(await video.evaluate((v) => v.muted), true)
  assert.equal(await video.evaluate((v) => v.videoHeight), 180) // the smallest rung
  const viewer = viewAtTheLiveEdge('shown')
  await until('each hop says how old it is', 30, async () => (await page.locator('.hop .number').allTextContents()).every((t) => /\d/.test(t)))
  await until('the edge is counted', 20, async () => Number(await text(page, '#tile-viewers .value')) > 0)
  await until('a line is drawn', 20, async () => (await page.locator('#chart-viewers .series').first().getAttribute('d')).includes('L'))
  assert.deepEqual(page.faults, [])
  assert.deepEqual(page.strangers, [])
  await viewer.stop()
  await publisher.stop()
  await card.waitFor({ state: 'detached' })
  await page.close()
})

test('a node that dies is told, first of all, and is gone from there when it is back', async () => {
  const page = await open()
  execFileSync(join(top, 'deploy', 'local'), ['kill', '--dir', cluster.dir, 'transcoder-1'])
  await until('it is told', 20, async () => /critical\s*transcoder-1\s*cannot be reached/i.test(await text(page, '#problem-list')))
  assert.match(await page.getAttribute('#health', 'class'), /bad/)
  execFileSync(join(top, 'deploy', 'local'), ['start', '--dir', cluster.dir, 'transcoder-1'])
  await until('all is well', 30, async () => (await text(page, '#problem-list')) === 'Nothing.')
  await page.close()
})

test('nothing is wider than the window, whatever it is', async () => {
  for (const width of [1440, 800, 390]) {
    const page = await open(width)
    await until('four nodes', 20, async () => (await page.locator('#nodes tr').count()) === 4)
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width} px`)
    await page.close()
  }
})

test('a page whose server is gone says that what it shows is old', async () => {
  const page = await open()
  await until('four nodes', 20, async () => (await page.locator('#nodes tr').count()) === 4)
  await page.route('**/picture', (route) => route.abort())
  await until('it complains', 20, async () => /does not answer any more/.test(await text(page, '#health')) && /as it was/.test(await text(page, '#clock')))
  await page.close()
})
