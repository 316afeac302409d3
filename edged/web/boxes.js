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

