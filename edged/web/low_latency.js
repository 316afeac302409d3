// low_latency.js - the page's low-latency mode: tail.js, which plays one answer a track that never ends, with the face that player.js has.
//
// It knows nothing but the live edge. A viewer who pauses or goes back is handed to the player of segments (events.away), where he finds his
// place; so is who wants captions, which that one reads, and everybody whom tail.js cannot help (events.failed).
import { readBox } from '/web/cues.js'
import { bufferedS, pictureMetrics, watchPicture } from '/web/picture.js'

const BACK_S = 0.5 // so far before the picture is a place of its own
const PAUSE_MS = 500 // a shorter one is none: a browser's own (WebKitGTK, when a source begins), or two clicks
const DEPTH_MS = 30000 // so often it is looked how far back one can go
const PICTURES_S = 5   // from one still picture to the next that is asked for

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

export class LowLatencyPlayer {
  // Player of tail.js; base: ".../live/STREAM/SESSION/"; stream: its entry of /api/streams. events as of player.js, and away(seconds): it
  // is to go on there (NaN: at the live edge) with another player; captions(): whether the broadcast has some, as far as is known
  constructor(Player, video, base, stream, events) {
    this.video = video
    this.base = base
    this.events = events
    this.depthS = 0
    this.depthMs = -Infinity
    this.live = true
    this.stands = false
    this.tail = new Player(video, base, stream, {
      started: () => events.started(),
      ended: () => events.ended(),
      failed: (text) => events.failed('away', text),
      rung: () => events.rung(),
      cue: (box) => {
        const cue = readBox(box)
        if (cue) events.cue(cue)
      },
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
  showsCaptions() { return false }
  showCaptions(shown) {
    if (shown) this.events.away(NaN)
  }

  async thumbnail(seconds) {
    const image = new Image()
    image.src = `${this.base}thumbs/${Math.floor(Math.max(0, seconds) / PICTURES_S)}x${PICTURES_S}.jpg`
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
    this.askDepth()
    if (!buffered.length) return { start: 0, end: 0 }
    const end = buffered.end(buffered.length - 1)
    return { start: Math.max(0, Math.min(buffered.start(0), end - this.depthS)), end }
  }

  // Of the manifest, when there is a picture.
  async askDepth() {
    const nowMs = performance.now()
    if (this.metrics().firstFrameMs === null || nowMs - this.depthMs < DEPTH_MS) return
    this.depthMs = nowMs
    try {
      const answer = await fetch(`${this.base}manifest.mpd`, { signal: AbortSignal.timeout(8000) })
      const [, hours, minutes, seconds] = (await answer.text()).match(/timeShiftBufferDepth="PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?"/) || []
      this.depthS = 3600 * (hours || 0) + 60 * (minutes || 0) + Number(seconds || 0)
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
    this.tail.close()
    this.video.removeAttribute('src')
    this.video.load()
  }
}
