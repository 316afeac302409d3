// What the player of tails hands to the browser, told by made-up boxes, without a browser: each second once, whatever rung it is of.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { top, until } from './harness.mjs'

const text = (bytes) => Buffer.from(bytes).toString('latin1')
function box(type, body = '') {
  const b = Buffer.alloc(8 + body.length)
  b.writeUInt32BE(b.length)
  b.write(type, 4, 'latin1')
  Buffer.from(body, 'latin1').copy(b, 8)
  return b
}
const number = (n, bytes) => String.fromCharCode(...[...Array(bytes).keys()].map((i) => Math.floor(n / 2 ** (8 * (bytes - 1 - i))) % 256))
const initOf = (track) => Buffer.concat([box('ftyp'), box('moov', `<${track}>` + text(box('mdhd', number(0, 12) + number(1000, 4) + number(0, 8))))])
const beginning = (second) => Buffer.concat([box('styp'), box('prft', number(0, 16) + number(second * 1000, 8))])
const chunk = (name) => Buffer.concat([box('moof'), box('mdat', `[${name}]`)])

let folder, TailPlayer, answers, appended, player, told
const media = new EventTarget()

// As much of a page as the player asks for.
class Video extends EventTarget {
  currentTime = 0
  paused = true
  playbackRate = 1
  play() { return Promise.resolve() }
}
function addSourceBuffer() {
  const buffer = Object.assign(new EventTarget(), { updating: false, buffered: { length: 0 }, appendBuffer(bytes) {
    appended.push(...text(bytes).match(/[<[][^\]>]+[\]>]/g) ?? [])
    setTimeout(() => buffer.dispatchEvent(new Event('updateend')))
  } })
  return buffer
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'freshet-tail-'))
  for (const name of ['tail', 'boxes'])
    writeFileSync(join(folder, `${name}.mjs`), readFileSync(join(top, 'edged/web', `${name}.js`), 'utf8').replace('/web/boxes.js', './boxes.mjs'))
  globalThis.window = { MediaSource: class { constructor() { return Object.assign(media, { addSourceBuffer, readyState: 'open', endOfStream() {} }) } } }
  URL.createObjectURL = () => 'blob:x'
  URL.revokeObjectURL = () => {}
  globalThis.fetch = async (url, { signal }) => {
    const track = url.split('/').at(-2)
    const made = { track, closed: false }
    signal.addEventListener('abort', () => { made.closed = true })
    const body = new ReadableStream({ start(controller) { made.controller = controller } })
    made.send = (...list) => made.closed || made.controller.enqueue(new Uint8Array(Buffer.concat(list)))
    made.breaks = () => made.closed || made.controller.error(new Error('it broke'))
    made.end = () => made.closed || made.controller.close()
    answers.push(made)
    return { ok: true, status: 200, body }
  };
  ({ TailPlayer } = await import(pathToFileURL(join(folder, 'tail.mjs'))))
})
after(() => rmSync(folder, { recursive: true }))

beforeEach(() => {
  player?.close()
  answers = []
  appended = []
  told = []
  player = new TailPlayer(new Video(), '/live/cam/S1/', { started: '2026-01-31T12:34:56Z', tracks: [
    { name: 'v720', codec: 'avc1.64001f', bandwidth: 3e6, width: 1280 }, { name: 'v360', codec: 'avc1.64001f', bandwidth: 6e5, width: 640 },
    { name: 'thumbs', codec: 'jpeg', bandwidth: 1e4, width: 320 }] },
    { rung: () => told.push('rung'), failed: (what) => told.push(what), ended: () => told.push('ended') }, { beginMs: Infinity })
  media.dispatchEvent(new Event('sourceopen'))
})
after(() => player.close())

const answer = (track, nth = 1) => until(`${track} is asked for`, 5, () => answers.filter((a) => a.track === track)[nth - 1])
const given = (...list) => until(list.join(' '), 5, () => appended.join(' ') === list.join(' ') || Promise.reject(new Error(appended.join(' '))))

test('another rung takes over where its second segment begins, and each second is there once', async () => {
  const one = await answer('v720')
  one.send(initOf('720'), beginning(7), chunk('720: 7a'))
  await given('<720>', '[720: 7a]')
  player.choose('v360')
  const two = await answer('v360')
  two.send(initOf('360'), beginning(7), chunk('360: 7a'), chunk('360: 7b'))
  one.send(chunk('720: 7b'))
  await given('<720>', '[720: 7a]', '[720: 7b]')
  two.send(beginning(8), chunk('360: 8a')) // it is sooner than the one that plays
  await new Promise((later) => setTimeout(later, 50))
  await given('<720>', '[720: 7a]', '[720: 7b]')
  one.send(beginning(8), chunk('720: 8a'))
  await given('<720>', '[720: 7a]', '[720: 7b]', '<360>', '[360: 8a]')
  assert.ok(one.closed)
  two.send(chunk('360: 8b'), beginning(9), chunk('360: 9'))
  await given('<720>', '[720: 7a]', '[720: 7b]', '<360>', '[360: 8a]', '[360: 8b]', '[360: 9]')
  assert.deepEqual(told, ['rung'])
  assert.equal(player.rung().id, 'v360')
})

test('an answer that ends is asked for again, and what was there already is not given again', async () => {
  const one = await answer('v720')
  one.send(initOf('720'), beginning(7), chunk('7'), beginning(8), chunk('8'))
  one.end()
  const two = await answer('v720', 2)
  two.send(initOf('720'), beginning(8), chunk('8 again'), beginning(9), chunk('9'))
  await given('<720>', '[7]', '[8]', '<720>', '[9]')
  assert.deepEqual(told, [])
})

test('what breaks off in the middle of a segment is given that segment again', async () => {
  const one = await answer('v720')
  one.send(initOf('720'), beginning(7), chunk('7'), beginning(8), chunk('8a'))
  await given('<720>', '[7]', '[8a]')
  one.breaks()
  const two = await answer('v720', 2)
  two.send(initOf('720'), beginning(8), chunk('8a'), chunk('8b'))
  await given('<720>', '[7]', '[8a]', '<720>', '[8a]', '[8b]')
})

test('a box that comes in pieces is one box', async () => {
  const one = await answer('v720')
  for (const byte of Buffer.concat([initOf('720'), beginning(7), chunk('7')])) one.send(Buffer.from([byte]))
  await given('<720>', '[7]')
})
