// Two sites with an edge each: players are told which one to load from, and go elsewhere when theirs is full or gone.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { after, before, test } from 'node:test'
import { Cluster, launch, metrics, openPage, playing, top, until } from './harness.mjs'

const hlsjs = readFileSync(join(top, 'tests/pages/node_modules/hls.js/dist/hls.js'), 'utf8')
const shakaPlayer = readFileSync(join(top, 'tests/pages/node_modules/shaka-player/dist/shaka-player.compiled.js'), 'utf8')
const SEATS = 64
let cluster, browser, sites
before(async () => {
  cluster = new Cluster('--edges=2', 'originD.steering=true', `edged.connections_max=${SEATS}`, 'edged.idle_ms=600000', 'edged.steering_ttl_s=1',
    'edged.site_full_percent=50', `transcoderd.ladder=${JSON.stringify([{ video: [{ height: 180, kbps: 300 }], audio: [{ kbps: 96 }] }])}`)
  const edges = cluster.nodes.filter((node) => node.role === 'edged'), { port } = new URL(edges[0].http)
  sites = edges.map(({ id, admin }, i) => ({ id, admin, name: 'ab'[i], host: `127.0.0.${i + 1}:${port}`, url: `http://127.0.0.${i + 1}:${port}` }))
  sites.forEach(({ id, name }, i) => cluster.configure(id, { bind: `127.0.0.${i + 1}`, http_port: Number(port), site: name,
    sites: sites.map((s) => ({ name: s.name, url: s.url })) }))
  browser = await launch()
  cluster.publish('cam')
  await cluster.playable('cam')
  for (const site of sites)
    await until(`${site.name} knows that all sites are there`, 20, async () => /^edged_sites_gone 0$/m.test(await (await fetch(`${site.admin}/metrics`)).text()))
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

// So many connections that ask for nothing: they take seats. Until the test is over at the latest.
async function occupy(t, site, count) {
  const agent = new Agent({ keepAlive: true, maxSockets: count, maxFreeSockets: count })
  await Promise.all(Array.from({ length: count }, () => new Promise((done, fail) => {
    get(`${site.url}/time`, { agent }, (answer) => answer.resume().on('end', done)).on('error', fail)
  })))
  t.after(() => agent.destroy())
  return agent
}

// Which hosts segments came from since the last call.
function hostsOf(page) {
  let hosts = new Set()
  page.on('response', (answer) => answer.ok() && answer.url().endsWith('.m4s') && hosts.add(new URL(answer.url()).host))
  return () => {
    const seen = hosts
    hosts = new Set()
    return seen
  }
}

const movesTo = (what, loaded, site) => until(what, 40, async () => {
  loaded()
  await new Promise((wake) => setTimeout(wake, 1200))
  const hosts = loaded()
  return hosts.size === 1 && hosts.has(site.host)
})

test('a viewer of the page is led away from a full site and home again, and notices neither', async (t) => {
  const [a, b] = sites
  const page = await openPage(browser, cluster, '/watch/cam')
  const loaded = hostsOf(page)
  await playing(page)
  await movesTo('all come from the site whose page it is', loaded, a)
  await page.evaluate(() => { window.states = new Set(); setInterval(() => window.states.add(window.freshet.state), 50) })
  const crowd = await occupy(t, a, SEATS * 0.6)
  await movesTo('all come from the other site', loaded, b)
  crowd.destroy()
  await movesTo('all come from here again', loaded, a)
  assert.deepEqual(await page.evaluate(() => [...window.states]), ['playing'])
  assert.deepEqual(page.faults, [])
  assert.match(await (await fetch(`${a.admin}/metrics`)).text(), /^edged_steered_total\{site="other"\} [1-9]/m)
  await page.context().close()
})

test('hls.js is led away from a full site and home again by the same answers', async (t) => {
  const [a, b] = sites
  const ended = cluster.publish('film', { seconds: 20 })
  await cluster.playable('film')
  await ended.ended
  await until('the film is over', 40, async () => (await cluster.state('film'))?.state === 'ended')
  const page = await openPage(browser, cluster, '/', { bypassCSP: true })
  const loaded = hostsOf(page)
  await page.setContent('<video id="v" muted autoplay loop></video>')
  await page.addScriptTag({ content: hlsjs })
  await page.evaluate(() => {
    const v = document.getElementById('v')
    const hls = window.hls = new Hls({ maxBufferLength: 1, maxMaxBufferLength: 1, backBufferLength: 0 })
    window.faults = []
    hls.on(Hls.Events.ERROR, (_, e) => e.fatal && window.faults.push(e.details))
    hls.loadSource('/live/film/master.m3u8')
    hls.attachMedia(v)
    v.addEventListener('timeupdate', () => { if (v.currentTime > 12) v.currentTime = 0 })
  })
  const pathway = () => page.evaluate(() => window.hls.pathways && window.hls.levels[window.hls.loadLevel]?.pathwayId)
  await until('it plays what this site has', 30, async () => await pathway() === 'a' && loaded().has(a.host))
  const crowd = await occupy(t, a, SEATS * 0.6)
  await until('it plays what the other site has', 40, async () => await pathway() === 'b' && loaded().has(b.host))
  crowd.destroy()
  await until('it is home again', 40, async () => await pathway() === 'a' && loaded().has(a.host))
  assert.deepEqual(await page.evaluate(() => window.faults), [])
  await page.context().close()
})

test('players that follow no clones of a relative address play where they began: Shaka, ffmpeg', async () => {
  const [a] = sites
  const page = await openPage(browser, cluster, '/', { bypassCSP: true })
  const loaded = hostsOf(page)
  await page.setContent('<video id="v" muted autoplay></video>')
  await page.addScriptTag({ content: shakaPlayer })
  await page.evaluate(async () => {
    shaka.polyfill.installAll()
    const player = window.player = new shaka.Player()
    await player.attach(document.getElementById('v'))
    window.faults = []
    player.addEventListener('error', (e) => window.faults.push(String(e.detail.code)))
    await player.load('/live/cam/manifest.mpd')
  })
  await movesTo('segments come', loaded, a)
  await until('sixty pictures', 30, () => page.evaluate(() => document.getElementById('v').getVideoPlaybackQuality().totalVideoFrames > 60))
  assert.deepEqual(await page.evaluate(() => window.faults), [])
  await page.context().close()
  await promisify(execFile)('ffmpeg', ['-v', 'error', '-i', `${sites[1].url}/live/cam/manifest.mpd`, '-t', '2', '-f', 'null', '-'], { timeout: 240000 })
})

test('when a site is gone its viewers go on at another one', async () => {
  const [a, b] = sites
  const page = await openPage(browser, cluster, '/watch/cam')
  const loaded = hostsOf(page)
  await playing(page)
  await movesTo('all come from the site whose page it is', loaded, a)
  cluster.local('kill', a.id)
  await movesTo('all come from the other site', loaded, b)
  const { decodedFrames } = await metrics(page)
  await until('pictures go on', 20, async () => (await metrics(page)).decodedFrames > decodedFrames + 150)
  assert.equal((await metrics(page)).state, 'playing')
  await page.context().close()
})
