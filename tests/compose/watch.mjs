// watch.mjs ADDRESS PICTURE: plays the page in Chromium for some seconds, as a person would, and leaves a picture of it. Prints one
// JSON object: what the player counted, the protocols its requests used, how many of them failed.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

// playwright-core and the rest are the browser tests'
const pages = join(dirname(fileURLToPath(import.meta.url)), '..', 'pages')
const { launch, playing, metrics, until } = await import(join(pages, 'harness.mjs'))

const PLAY_S = 6
const [address, picture] = process.argv.slice(2)
const browser = await launch()
try {
  // The certificate is a self-signed one
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 960, height: 640 } })
  const page = await context.newPage()
  const faults = []
  const statuses = {}
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('response', (response) => { statuses[response.status()] = (statuses[response.status()] || 0) + 1 })
  await page.goto(address)
  await playing(page, 60)
  const first = await metrics(page)
  await until('some seconds were played', 60, async () => (await metrics(page)).decodedFrames > first.decodedFrames + 30 * PLAY_S)
  const last = await metrics(page)
  const protocols = await page.evaluate(() => [...new Set(performance.getEntriesByType('resource').map((e) => e.nextHopProtocol))].filter(Boolean))
  await page.screenshot({ path: picture })
  console.log(JSON.stringify({ frames: last.decodedFrames, state: last.state, width: last.width, protocols, statuses, faults }))
} finally {
  await browser.close()
}
