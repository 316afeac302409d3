// cues.js - what is said beside the picture (texts, cue points, splices), each when its time comes: as a line under the picture, as an
// event for who builds on this page, and on the timeline of a recording as a mark.
//
//   window.addEventListener('cue', ({ detail: { id, scheme, at, duration, data } }) => …)
// and, where the page is a frame (/embed/NAME), window.parent is sent { freshet: 'cue', id, scheme, at, duration, data }. data: what was
// sent, as an object; of a scheme whose bytes are no JSON (SCTE 35) a Uint8Array. at and duration: seconds of the video; duration null:
// not told.
import { put, tell } from '/web/news.js'

export const SCHEMES = ['urn:freshet:amf:2026', 'urn:scte:scte35:2013:bin']

const LOOK_MS = 100
const LATE_S = 1.5    // so long after its time it is told still, if it came or the viewer jumped there only then: of what he jumped over no more than that
const SHOWN_S = 6     // a text that does not say how long
const ALOUD_MS = 4000 // between two that are read aloud
const KEPT = 512

// null: it is no JSON.
function parsed(bytes) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return null
  }
}

const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) || [], (two) => parseInt(two, 16))

// What a person reads of it, '' where there is nothing for him.
function textOf({ scheme, data }) {
  if (scheme !== SCHEMES[0]) return ''
  const said = data?.data?.text ?? data?.data?.name
  return typeof said === 'string' ? said.slice(0, 500) : ''
}

const labelOf = (cue) => textOf(cue) || (cue.scheme === SCHEMES[1] ? 'Splice point' : 'Cue point')

// An `emsg` box of version 1, as the chunks have it: what add() takes, or null.
export function readBox(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 34 || bytes[8] !== 1) return null
  const scale = view.getUint32(12), long = view.getUint32(24), texts = bytes.subarray(32), end = texts.indexOf(0), body = texts.indexOf(0, end + 1) + 1
  if (!scale || end < 0 || !body) return null
  return { id: view.getUint32(28), at: Number(view.getBigUint64(16)) / scale, duration: long === 0xffffffff ? null : long / scale,
    scheme: new TextDecoder().decode(texts.subarray(0, end)), bytes: texts.slice(body) }
}

// The lines of a playlist that tell them; shift: what the video's time is behind the broadcast's. Their IDs end with the time, in ms.
export function readPlaylist(text, shift = 0) {
  return [...text.matchAll(/^#EXT-X-DATERANGE:ID="([0-9A-F]{8})-(\d+)",CLASS="([^"]*)"(.*)$/gm)].map(([, id, ms, scheme, rest]) => ({
    id: parseInt(id, 16), at: Number(ms) / 1000 - shift, scheme, duration: Number(rest.match(/,DURATION=([\d.]+)/)?.[1] ?? NaN) || null,
    bytes: bytesOf(rest.match(/=0x([0-9A-F]+)$/)?.[1] ?? ''),
  }))
}

export class Cues {
  // line: an element for the text; marks: one as wide as the timeline
  constructor(video, line, marks) {
    Object.assign(this, { video, line, marks, list: [], until: 0, aloudMs: 0, told: 0, drawn: '', lookedS: Infinity })
    video.addEventListener('seeking', () => { this.lookedS = Infinity })
    setInterval(() => this.look(), LOOK_MS)
  }

  // Another broadcast, or none.
  clear() {
    this.list = []
    this.lookedS = Infinity
    this.hush()
    this.draw()
  }

  // { id, scheme, at, duration, bytes }; once or many times: who has it has it.
  add({ id, scheme, at, duration, bytes }) {
    if (!SCHEMES.includes(scheme) || this.list.some((one) => one.id === id && Math.abs(one.at - at) < 0.001)) return
    const json = parsed(bytes)
    this.list.push({ id, scheme, at, duration, data: json ?? bytes, told: at < Math.min(this.lookedS, this.video.currentTime - LATE_S) })
    this.list.sort((a, b) => a.at - b.at)
    if (this.list.length > KEPT) this.forget()
  }

  // The one that is farthest away: a long recording has more, and tells those that come next.
  forget() {
    const { list, video: { currentTime } } = this
    if (currentTime - list[0].at > list.at(-1).at - currentTime) list.shift()
    else list.pop()
  }

  look() {
    const { video } = this, now = video.currentTime
    // A page that had no time to look (it is in the background, or much is done beside it) tells what was played meanwhile.
    const from = Math.min(this.lookedS, now - LATE_S)
    for (const cue of this.list) {
      if (cue.at > now) cue.told = false // he went back
      else if (!cue.told && !video.seeking) {
        cue.told = true
        if (cue.at > from) this.say(cue)
      }
    }
    if (!video.seeking) this.lookedS = now
    if (!this.line.hidden && (now > this.until || now < this.from)) this.hush()
  }

  say(cue) {
    const { id, scheme, at, duration, data } = cue, text = textOf(cue)
    this.told++
    window.dispatchEvent(new CustomEvent('cue', { detail: { id, scheme, at, duration, data } }))
    // Nobody shows this page in a frame but whom frame_ancestors names.
    if (window.parent !== window) window.parent.postMessage({ freshet: 'cue', id, scheme, at, duration, data }, '*')
    if (!text) return
    put(this.line, text)
    this.line.hidden = false
    this.from = at - 0.001
    this.until = at + (duration || SHOWN_S)
    if (performance.now() - this.aloudMs < ALOUD_MS) return
    this.aloudMs = performance.now()
    tell(text)
  }

  hush() {
    this.line.hidden = true
    put(this.line, '')
  }

  // What is said about there, on a timeline from start to end; '' where nothing is.
  near(seconds, start, end) {
    const reach = Math.max(0.5, (end - start) / 100)
    const all = this.list.filter((cue) => Math.abs(cue.at - seconds) < reach)
    return all.length ? labelOf(all.reduce((a, b) => Math.abs(b.at - seconds) < Math.abs(a.at - seconds) ? b : a)) : ''
  }

  // Marks where they lie; without start and end: none.
  draw(start = 0, end = 0) {
    const inside = this.list.filter((cue) => cue.at >= start && cue.at <= end && end > start)
    const key = `${start} ${end} ${inside.map((cue) => cue.at)}`
    if (key === this.drawn) return
    this.drawn = key
    this.marks.replaceChildren(...inside.map((cue) => {
      const mark = document.createElement('i')
      mark.style.left = `${100 * (cue.at - start) / (end - start)}%`
      return mark
    }))
  }
}
