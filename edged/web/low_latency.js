// low_latency.js - the page's low-latency mode: tail.js, which plays one answer a track that never ends, with the face that player.js has.
//
// It knows nothing but the live edge. A viewer who pauses or goes back is handed to the player of segments (events.away), where he finds his
// place, and so is everybody whom tail.js cannot help (events.failed).
import { Captions } from '/web/captions.js'
import { readBox } from '/web/cues.js'
import { bufferedS, pictureMetrics, watchPicture } from '/web/picture.js'

const BACK_S = 0.5 // so far before the picture is a place of its own
const PAUSE_MS = 500 // a shorter one is none: a browser's own (WebKitGTK, when a source begins), or two clicks
const ASK_MS = 30000 // so often the manifest is asked how far back one can go

// How far this clock is behind the server's, in ms; 0 where it does not say.
async function clockBehindMs() {
  try {
    const askedMs = Date.now(), answer = await fetch('/time', { cache: 'no-store', signal: AbortSignal.timeout(3000) })
    const told = Date.parse(await answer.text()), now = Date.now()
    return Number.isFinite(told) ? told - (askedMs + now) / 2 : 0
  } catch {
    return 0
  }
}

// A period that begins between two pictures names one for each second: the greatest step is the broadcast's.
function readManifest(text) {
  const [, hours, minutes, seconds] = text.match(/timeShiftBufferDepth="PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?"/) || []
  const steps = [...text.matchAll(/thumbs\/\$Number\$x(\d+)\.jpg/g)].map(([, step]) => Number(step))
  return { depthS: 3600 * (hours || 0) + 60 * (minutes || 0) + Number(seconds || 0), picturesS: Math.max(0, ...steps) }
}

export class LowLatencyPlayer {
  // Player of tail.js; base: ".../live/STREAM/SESSION/"; stream: its entry of /api/streams. events as of player.js, and away(seconds): it
  // is to go on there (NaN: at the live edge) with another player; captions(): whether the broadcast has some, as far as is known
  constructor(Player, video, base, stream, events) {
    this.video = video
    this.base = base
    this.events = events
    this.depthS = 0
    this.picturesS = 0 // from one still picture to the next; 0: there are none, as far as is known
    this.askedMs = -Infinity
    this.live = true
    this.stands = false
    // The player of segments has a reader of its own beside this one.
    this.captions = new Captions(video, () => events.failed('away', 'what reads captions did not come'))
    this.tail = new Player(video, base, stream, {
      started: () => events.started(),
      ended: () => events.ended(),
      failed: (text) => events.failed('away', text),
      rung: () => events.rung(),
      cue: (box) => {
        const cue = readBox(box)
        if (cue) events.cue(cue)
      },
      pictures: (chunk, scale) => this.captions.add(chunk, scale),
    })
    clockBehindMs().then((ms) => { this.tail.clockMs = ms })
    this.endWatch = watchPicture(video, () => this.metrics().firstFrameMs !== null, (stands) => {
      this.stands = stands
      if (stands) events.stands()
      else events.moves()
    })
    this.listening = new AbortController()
    const hear = (name, call) => video.addEventListener(name, call, { signal: this.listening.signal })
    hear('pause', () => {
      if (video.ended) return
      const at = video.currentTime
      this.pauseTimer = setTimeout(() => {
        this.pausedAt = at
        this.tail.close() // it would load for ever
      }, PAUSE_MS)
    })
    hear('play', () => {
      clearTimeout(this.pauseTimer)
      if (this.pausedAt !== undefined) events.away(this.pausedAt)
    })
    setTimeout(() => events.rungs(), 0)
  }

  otherSites() { return [] }
  rungs() { return this.tail.rungs() }
  rung() { return this.tail.rung() }
  choose(id) { this.tail.choose(id) }

  hasCaptions() { return this.events.captions() }
  showsCaptions() { return this.captions.shown }
  showCaptions(shown) { this.captions.show(shown) }

  async thumbnail(seconds) {
    const image = new Image(), everyS = this.picturesS
    if (!everyS) return null
    image.src = `${this.base}thumbs/${Math.floor(Math.max(0, seconds) / everyS)}x${everyS}.jpg`
    try {
      await image.decode()
    } catch {
      return null // there is none
    }
    return { url: image.src, x: 0, y: 0, width: image.naturalWidth, height: image.naturalHeight }
  }

  // Not only of what is here: who goes back is handed over.
  range() {
    const { buffered } = this.video
    this.askManifest()
    if (!buffered.length) return { start: 0, end: 0 }
    const end = buffered.end(buffered.length - 1)
    return { start: Math.max(0, Math.min(buffered.start(0), end - this.depthS)), end }
  }

  // What the tracks do not say, when there is a picture.
  async askManifest() {
    const nowMs = performance.now()
    if (this.metrics().firstFrameMs === null || nowMs - this.askedMs < ASK_MS) return
    this.askedMs = nowMs
    try {
      const answer = await fetch(`${this.base}manifest.mpd`, { signal: AbortSignal.timeout(8000) })
      if (answer.ok) Object.assign(this, readManifest(await answer.text()))
    } catch {
      // what was known stays
    }
  }

  latency() { return this.pausedAt === undefined ? this.tail.latency() : NaN }
  targetLatency() { return this.tail.latency() } // it is as near as it can be

  toLive() {
    if (this.pausedAt !== undefined) this.events.away(NaN)
  }

  seek(seconds) {
    if (seconds < this.video.currentTime - BACK_S) this.events.away(Math.max(0, seconds))
  }

  metrics() {
    return { ...this.tail.metrics(), ...pictureMetrics(this.video), latency: this.latency(), targetLatency: this.targetLatency(),
      buffer: bufferedS(this.video), rungs: this.rungs() }
  }

  close() {
    this.endWatch()
    clearTimeout(this.pauseTimer)
    this.listening.abort()
    this.captions.show(false)
    this.tail.close()
    this.video.removeAttribute('src')
    this.video.load()
  }
}
