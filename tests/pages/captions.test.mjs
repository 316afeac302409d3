// What the reader of captions puts on the picture (edged/web/caption_reader.js), told by made-up chunks, without a browser: each text from when it
// is said until it is taken away.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { top } from './harness.mjs'

const SCALE = 1000, PICTURE = 40 // ticks
const u32 = (...numbers) => Buffer.concat(numbers.map((n) => {
  const b = Buffer.alloc(4)
  b.writeUInt32BE(n)
  return b
}))
const box = (type, ...bodies) => Buffer.concat([u32(8 + bodies.reduce((sum, b) => sum + b.length, 0)), Buffer.from(type, 'latin1'), ...bodies])

// A picture that says a pair of bytes of CEA-608, or nothing, and has other bytes behind.
function picture(pair) {
  const said = Buffer.from([0xb5, 0, 0x31, ...Buffer.from('GA94'), 3, 0xc1, 0xff, 0xfc, ...pair ?? [0x80, 0x80], 0xff])
  const sei = Buffer.concat([Buffer.from([6, 4, said.length]), said, Buffer.from([0x80])]), slice = Buffer.from([0x41, 1, 2, 3, 4, 5, 6, 7])
  return Buffer.concat([u32(sei.length), sei, u32(slice.length), slice])
}

// Pictures from a time in ms on, as FFmpeg writes them: how long they are once for all, how large for each.
function chunk(ms, ...pairs) {
  const pictures = pairs.map(picture)
  const moof = (offset) => box('moof', box('mfhd', u32(0, 1)), box('traf', box('tfhd', u32(0x020028, 1, PICTURE, 0)), box('tfdt', u32(0x01000000, 0, ms)),
    box('trun', u32(0x201, pictures.length, offset), u32(...pictures.map((p) => p.length)))))
  return new Uint8Array(Buffer.concat([box('styp', u32(0, 0)), moof(moof(0).length + 8), box('mdat', ...pictures)]))
}

const letters = (text) => [...Array(Math.ceil(text.length / 2)).keys()].map((i) => [...Buffer.from(text.padEnd(text.length + 1).slice(2 * i, 2 * i + 2))])
const CLEAN = [0x14, 0x2c], BEGIN = [0x14, 0x20], ROW = [0x14, 0x70], SHOW = [0x14, 0x2f]
const loading = (text) => [BEGIN, ROW, ...letters(text)] // before it is on show
const silent = (count) => Array(count).fill(null)

let folder, CaptionReader, reader, list
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'freshet-captions-'))
  const put = (name, text) => writeFileSync(join(folder, `${name}.mjs`), text.replaceAll(/'\/web\/(.*)\.js'/g, "'./$1.mjs'"))
  for (const name of ['boxes', 'caption_reader']) put(name, readFileSync(join(top, 'edged/web', `${name}.js`), 'utf8'))
  put('cea-608', readFileSync(join(top, 'build/web/cea-608.js'), 'utf8'))
  globalThis.VTTCue = class { constructor(startTime, endTime, text) { Object.assign(this, { startTime, endTime, text }) } }
  globalThis.document = { createElement: () => ({ remove() {}, track: { get cues() { return list }, addCue: (cue) => list?.push(cue),
    removeCue: (cue) => list.splice(list.indexOf(cue), 1) } }) };
  ({ CaptionReader } = await import(pathToFileURL(join(folder, 'caption_reader.mjs'))))
})
after(() => rmSync(folder, { recursive: true }))
beforeEach(() => {
  list = []
  reader = new CaptionReader({ currentTime: 0, append() {}, textTracks: Object.assign([], { addEventListener() {} }) })
})

const add = (...given) => reader.add(chunk(...given), SCALE)
const told = () => list.map(({ text, startTime, endTime }) => `${text} ${startTime.toFixed(2)}-${endTime.toFixed(2)}`)

test('a text is there as soon as it is said, and goes on for as long as nobody takes it away', () => {
  add(0, ...loading('HELLO'), SHOW, ...silent(2)) // six pictures, 40 ms each, before it
  assert.deepEqual(told(), ['HELLO 0.20-0.82'])
  add(320, ...silent(5))
  add(520, ...silent(5))
  assert.deepEqual(told(), ['HELLO 0.20-1.22'])
  add(720, null, CLEAN, null)
  assert.deepEqual(told(), ['HELLO 0.20-0.76'])
})

test('what is taken away with the first picture of a chunk ends there, not when the reader thought it might', () => {
  add(0, ...loading('HELLO'), SHOW, null)
  add(280, CLEAN, ...silent(4))
  add(480, ...silent(5))
  assert.deepEqual(told(), ['HELLO 0.20-0.28'])
})

test('the next text takes the place of the one before', () => {
  add(0, ...loading('ONE'), SHOW)
  add(200, ...loading('TWO'), SHOW, null)
  assert.deepEqual(told(), ['ONE 0.16-0.36', 'TWO 0.36-0.94'])
})

test('a segment that comes again is read once', () => {
  add(0, ...loading('ONE'), SHOW)
  add(200, ...letters('X'), null)
  add(0, ...loading('ONE'), SHOW)
  add(200, ...letters('X'), null)
  add(280, CLEAN)
  assert.deepEqual(told(), ['ONE 0.16-0.28'])
})

test('after a hole nothing of before is shown, and half a text is none', () => {
  add(0, ...loading('ONE'), SHOW)
  add(200, ...loading('HALF'))
  add(5000, ...letters('REST'), SHOW, null)
  assert.deepEqual(told().filter((line) => !line.startsWith('ONE ')), [])
})

test('who goes back is shown what was said there, once', () => {
  add(10000, ...loading('ONE'), SHOW, null)
  add(0, ...loading('OLD'), SHOW, null)
  assert.deepEqual(told(), ['OLD 0.16-0.74'])
})

test('bytes that mean nothing harm nobody', () => {
  for (const end of [9, 40, 90, 130, 150]) reader.add(chunk(0, ...loading('ONE'), SHOW).subarray(0, end), SCALE)
  const broken = chunk(0, ...loading('ONE'), SHOW)
  broken.fill(0xff, 100)
  reader.add(broken, SCALE)
  add(400, ...loading('TWO'), SHOW, null)
  assert.deepEqual(told(), ['TWO 0.56-1.14'])
})

test('what a text says is no markup', () => {
  add(0, ...loading('I <3 U & ME'), SHOW, ...silent(2))
  assert.equal(list[0].text, 'I &lt;3 U &amp; ME')
})

test('a track that the browser has switched off, which has no cues then, stops nothing', () => {
  list = null
  add(0, ...loading('HELLO'), SHOW, ...silent(2))
  add(1000, ...silent(5)) // behind a hole
  list = []
  add(1200, ...loading('AGAIN'), SHOW, ...silent(2))
  assert.equal(list.at(-1).text, 'AGAIN')
})
