// low_latency.js - the page's low-latency mode: tail.js, which plays one answer a track that never ends, with the face that player.js has.
//
// It knows nothing but the live edge. A viewer who pauses or goes back is handed to the player of segments (events.away), where he finds his
// place; so is everybody whom tail.js cannot help (events.failed).
import { bufferedS, pictureMetrics, watchPicture } from '/web/picture.js'

const BACK_S = 0.5 // so far before the picture is a place of its own

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
  // is to go on there (NaN: at the live edge) with another player
  constructor(Player, video, base, stream, events) {
    this.video = video
    this.events = events
    this.live = true
    this.stands = false
    this.tail = new Player(video, base, stream, {
      started: () => events.started(),
      ended: () => events.ended(),
      failed: (text) => events.failed('away', text),
      rung: () => events.rung(),
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
      this.pausedAt = video.currentTime
      this.tail.close() // it would load for ever
    })
    hear('play', () => this.pausedAt !== undefined && events.away(this.pausedAt))
    setTimeout(() => events.rungs(), 0)
  }

  otherSites() { return [] }
  rungs() { return this.tail.rungs() }
  rung() { return this.tail.rung() }
  choose(id) { this.tail.choose(id) }

  hasCaptions() { return false }
  showsCaptions() { return false }
  showCaptions() {}
  thumbnail() { return Promise.resolve(null) }

  range() {
    const { buffered } = this.video
    return buffered.length ? { start: buffered.start(0), end: buffered.end(buffered.length - 1) } : { start: 0, end: 0 }
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
    this.listening.abort()
    this.tail.close()
    this.video.removeAttribute('src')
    this.video.load()
  }
}
