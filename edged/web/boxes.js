// boxes.js - an answer that goes on and on, as the boxes of an MP4 that it is made of (ISO/IEC 14496-12), for tail.js.

const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export function joined(list) {
  const all = new Uint8Array(list.reduce((sum, one) => sum + one.length, 0))
  list.reduce((at, one) => (all.set(one, at), at + one.length), 0)
  return all
}

// One answer: its boxes, whole, in their order. rate(): bit/s that came while bytes were coming, NaN: too little to say.
export class Answer {
  constructor(url, heard) { // heard: box(type, bytes), over(fault): null when it ended well, else { status, text }
    this.heard = heard
    this.bytes = 0
    this.busyMs = 0
    this.asked = new AbortController()
    this.read(url).catch((error) => this.asked.signal.aborted || heard.over({ status: error.status || 0, text: error.message }))
  }

  async read(url) {
    const answer = await fetch(url, { signal: this.asked.signal, cache: 'no-store' })
    if (!answer.ok) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status })
    const reader = answer.body.getReader()
    let rest = new Uint8Array(0), waitedFrom = performance.now(), burst = 0
    for (;;) {
      const { done, value } = await reader.read()
      const nowMs = performance.now()
      if (done) break
      // The first piece after a pause says when it was made; those behind it, how fast they come.
      if (nowMs - waitedFrom < 30 && burst) {
        this.bytes += value.length
        this.busyMs += nowMs - waitedFrom
      }
      burst = nowMs - waitedFrom < 30 ? burst + value.length : 1
      rest = this.cut(rest.length ? joined([rest, value]) : value)
      waitedFrom = performance.now()
    }
    if (!this.asked.signal.aborted) this.heard.over(null)
  }

  cut(bytes) {
    let at = 0
    while (bytes.length - at >= 8) {
      const size = view(bytes).getUint32(at)
      if (size < 8) throw new Error('no box')
      if (size > bytes.length - at) break
      this.heard.box(String.fromCharCode(...bytes.subarray(at + 4, at + 8)), bytes.subarray(at, at + size))
      if (this.asked.signal.aborted) return new Uint8Array(0)
      at += size
    }
    return bytes.subarray(at)
  }

  rate() {
    const bits = this.busyMs > 20 ? 8000 * this.bytes / this.busyMs : NaN
    this.bytes /= 2 // older ones count for less
    this.busyMs /= 2
    return bits
  }

  close() { this.asked.abort() }
}

// Ticks a second of its one track, by mdhd, wherever that lies.
export const scaleOf = (init) => {
  for (let at = 4; at + 24 < init.length; at++)
    if (init[at] === 0x6d && init[at + 1] === 0x64 && init[at + 2] === 0x68 && init[at + 3] === 0x64) return view(init).getUint32(at + (init[at + 4] ? 24 : 16))
  return 1
}

// The media time, in seconds, that a segment begins at.
export const timeOf = (prft, scale) => Number(view(prft).getBigUint64(24)) / scale


// ---- of chunks that are whole

function* boxesIn(data, from, to) {
  for (let at = from; at + 8 <= to;) {
    const size = data.getUint32(at)
    if (size < 8 || size > to - at) return
    yield [String.fromCharCode(...[4, 5, 6, 7].map((i) => data.getUint8(at + i))), at + 8, at + size]
    at += size
  }
}

const TRUN_FIELDS = [0x100, 0x200, 0x400, 0x800] // of each sample: how long, how large, flags, how much later than its time it is shown

function* samplesOfTrack(data, moof, from, to) {
  let time = 0, lasts = 0, size = 0
  for (const [type, at] of boxesIn(data, from, to)) {
    const flags = data.getUint32(at) & 0xffffff
    if (type === 'tfhd') {
      const next = at + 8 + (flags & 1 ? 8 : 0) + (flags & 2 ? 4 : 0)
      if (flags & 8) lasts = data.getUint32(next)
      if (flags & 16) size = data.getUint32(next + (flags & 8 ? 4 : 0))
    } else if (type === 'tfdt') {
      time = data.getUint8(at) ? Number(data.getBigUint64(at + 4)) : data.getUint32(at + 4)
    } else if (type === 'trun') {
      if (!(flags & 1)) continue // without an offset nobody knows where its bytes are
      let next = at + 12 + (flags & 4 ? 4 : 0), offset = moof + data.getInt32(at + 8)
      for (let left = Math.min(data.getUint32(at + 4), data.byteLength); left > 0; left--) {
        const told = TRUN_FIELDS.map((field) => flags & field ? data.getInt32((next += 4) - 4) : undefined)
        const [long = lasts, large = size, , later = 0] = told
        yield { time: time + later, lasts: long, offset, size: large }
        time += long
        offset += large
      }
    }
  }
}

// Their samples in the order in which they are shown: at, until: seconds; where the bytes of each are.
export function samplesOf(bytes, scale) {
  const data = view(bytes), all = []
  for (const [type, from, to] of boxesIn(data, 0, data.byteLength)) {
    if (type !== 'moof') continue
    for (const [inner, begin, end] of boxesIn(data, from, to))
      if (inner === 'traf') all.push(...samplesOfTrack(data, from - 8, begin, end))
  }
  const seconds = ({ time, lasts, offset, size }) => ({ at: time / scale, until: (time + lasts) / scale, offset, size })
  return all.map(seconds).sort((a, b) => a.at - b.at)
}
