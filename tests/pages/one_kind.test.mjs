// Recordings whose picture was over long before their sound, or came after it, or whose sound was over first: on the page, and in players that
// know nothing of us.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Cluster, ground, launch, metrics, openPage, top, until } from './harness.mjs'

const library = (path) => readFileSync(join(top, path), 'utf8')
const SHORT = 8, LONG = 90, LATE = 20 // seconds; a player has the last one's sound not in hand while it plays the picture's end
let cluster, browser
const sessions = {}

before(async () => {
  cluster = new Cluster()
  browser = await launch()
  const stored = ['-movflags', '+empty_moov+default_base_moof+cmaf+skip_trailer', '-frag_duration', '200000', '-use_editlist', '0', '-f', 'mp4']
  const make = (name, source, codec) => {
    const file = join(cluster.dir, name)
    execFileSync('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', source, ...codec, ...stored, file])
    return file
  }
  const picture = (s) => make(`v${s}.mp4`, `testsrc2=size=320x180:rate=25:duration=${s}`,
    ['-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '0', '-g', '25', '-pix_fmt', 'yuv420p', '-video_track_timescale', '90000'])
  const sound = (s) => make(`a${s}.mp4`, `sine=duration=${s}:sample_rate=48000`, ['-c:a', 'aac', '-ac', '2'])
  const pictures = [SHORT, LONG].map(picture), sounds = [SHORT, LONG].map(sound)
  const { port } = JSON.parse(readFileSync(join(cluster.dir, 'origin-1.json')))
  for (const [stream, v, a, late] of [['seen', 0, 1, 0], ['heard', 1, 0, 0], ['late', 1, 1, LATE]]) {
    const said = execFileSync(join(top, 'build/release/tools/put_file'), ['--origin', `127.0.0.1:${port}`, '--stream', stream, '--pace', '0',
      ...(late ? ['--late', `v180=${late}`] : []), `v180=${pictures[v]}`, `a64=${sounds[a]}`], { encoding: 'utf8' })
    sessions[stream] = said.split(/\s/)[0]
    await until(`${stream} ended`, 60, async () => (await cluster.state(stream))?.state === 'ended')
  }
})
after(async () => {
  await browser?.close()
  cluster?.down()
})

const DASH = library('build/web/dash.js'), HLS = library('tests/pages/node_modules/hls.js/dist/hls.js'),
  SHAKA = library('tests/pages/node_modules/shaka-player/dist/shaka-player.compiled.js')
const players = {
  'dash.js': [DASH, 'manifest.mpd', (url) => {
    const player = window.player = window.dashjs.MediaPlayer().create()
    player.on('error', (e) => window.faults.push(String(e.error?.message)))
    player.initialize(document.getElementById('v'), url, true)
  }],
  'hls.js': [HLS, 'master.m3u8', (url) => {
    const hls = window.player = new window.Hls()
    hls.on(window.Hls.Events.ERROR, (_, e) => e.fatal && window.faults.push(e.details))
    hls.loadSource(url)
    hls.attachMedia(document.getElementById('v'))
  }],
  'hls.js, old': [HLS, 'classic.m3u8', (url) => {
    const hls = window.player = new window.Hls()
    hls.on(window.Hls.Events.ERROR, (_, e) => e.fatal && window.faults.push(e.details))
    hls.loadSource(url)
    hls.attachMedia(document.getElementById('v'))
  }],
  Shaka: [SHAKA, 'manifest.mpd', async (url) => {
    const player = window.player = new window.shaka.Player()
    await player.attach(document.getElementById('v'))
    player.addEventListener('error', (e) => window.faults.push(String(e.detail.code)))
    await player.load(url)
    document.getElementById('v').play()
  }],
  'dash.js, old': [DASH, 'classic.mpd', (url) => {
    const player = window.player = window.dashjs.MediaPlayer().create()
    player.on('error', (e) => window.faults.push(String(e.error?.message)))
    player.initialize(document.getElementById('v'), url, true)
  }]
}
// dash.js (5.2.1) now and then goes back half a second when all is over, and stays there.
const shown = (page) => page.evaluate(() => {
  const v = document.querySelector('video')
  return { time: v.currentTime, length: v.duration, ended: v.ended || (v.paused && v.currentTime > v.duration - 1), frames: v.getVideoPlaybackQuality().totalVideoFrames,
    sound: v.webkitAudioDecodedByteCount, width: v.videoWidth, faults: window.faults ?? [] }
})
const jump = (page, to) => page.evaluate((at) => { document.querySelector('video').currentTime = at }, to)

// Over the end of the one kind, and to the end of the other.
async function playsAll(page, border, isOver = async () => (await shown(page)).ended) {
  await until('it plays', 60, async () => { const now = await shown(page); return now.time > 0.3 && now.frames > 3 && now.width === 320 })
  await jump(page, border - 3)
  await until('it goes on behind the border', 60, async () => { const { time } = await shown(page); return time > border + 3 })
  const before = await shown(page)
  await jump(page, LONG - 4)
  let last = before
  await until('the end', 60, async () => {
    if (await isOver()) return true
    const now = await shown(page)
    if (now.width) last = now // the page takes the recording away when it is over
    return false
  })
  assert.ok(last.time > LONG - 2 && last.time < LONG + 0.5, JSON.stringify(last))
  assert.ok(last.sound > before.sound && last.frames > before.frames, JSON.stringify([before, last]))
  assert.deepEqual(last.faults, [])
}

for (const [name, [code, file, begin]] of Object.entries(players))
  for (const stream of ['seen', 'heard', 'late']) {
    if (stream === 'late' && name.endsWith('old')) continue // they are told of the picture from where it came
    test(`${name} plays a recording to its end: ${stream}`, async () => {
      const page = await ground(browser, cluster, code)
      await page.evaluate(() => { window.faults = [] })
      await page.evaluate(`(${begin})(${JSON.stringify(`/live/${stream}/${sessions[stream]}/${file}`)})`)
      await playsAll(page, stream === 'late' ? LATE : SHORT)
      await page.context().close()
    })
  }

test('the page shows the picture that was last until the sound is over', async () => {
  const page = await openPage(browser, cluster, `/watch/seen?session=${sessions.seen}`)
  await until('it plays', 60, async () => (await metrics(page)).state === 'playing')
  await playsAll(page, SHORT, async () => (await metrics(page)).state === 'ended')
  assert.deepEqual(page.faults, [])
  await page.context().close()
})
