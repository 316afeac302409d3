// native.js - the browser's own player of HLS, where there are no Media Source Extensions (older iPhones). It has the face that player.js
// has, as far as such a browser lets a page see and steer; it chooses rungs and catches up by itself.
import { bufferedS, pictureMetrics, watchPicture } from '/web/picture.js'

const TYPE = 'application/vnd.apple.mpegurl'
const TARGET_S = 3 // where Apple's players begin, from the camera on: told, not steered

export const supported = () => Boolean(document.createElement('video').canPlayType(TYPE))

export class NativePlayer {
  constructor(video, base, live, events, from = NaN) {
    this.video = video
    this.live = live
    this.stalls = 0
    this.stands = false
    this.startedAt = performance.now()
    this.firstFrameMs = null
    this.listening = new AbortController()
    const hear = (name, call) => video.addEventListener(name, call, { signal: this.listening.signal })
    hear('loadedmetadata', () => {
      if (Number.isFinite(video.duration)) this.live = false // it ended before we came
      if (!Number.isNaN(from)) this.seek(from)
      events.rungs()
    })
    hear('resize', () => events.rung())
    hear('playing', () => {
      this.firstFrameMs ??= performance.now() - this.startedAt
      events.started()
    })
    hear('waiting', () => {
      if (this.firstFrameMs !== null && !video.paused && !video.seeking) this.stalls++
    })
    hear('ended', () => events.ended())
    // Not to be had, and not to be decoded, may be one code: what it was the page asks the server.
    hear('error', () => events.failed(video.error?.code === 3 ? 'hopeless' : 'fault', video.error?.message || 'the browser gave no reason'))
    this.endWatch = watchPicture(video, () => this.firstFrameMs !== null, (stands) => {
      this.stands = stands
      if (stands) events.stands()
      else events.moves()
    })
    video.src = `${base}/master.m3u8`
    video.play().catch(() => {})
  }

  otherSites() { return [] }
  rungs() { return [] }
  rung() { return this.video.videoHeight ? { id: 'native', width: this.video.videoWidth, height: this.video.videoHeight } : null }
  choose() {}

  hasCaptions() { return this.video.textTracks.length > 0 }
  showsCaptions() { return [...this.video.textTracks].some((track) => track.mode === 'showing') }
  showCaptions(shown) { if (this.hasCaptions()) this.video.textTracks[0].mode = shown ? 'showing' : 'hidden' }

  range() {
    const { seekable, duration } = this.video
    if (!this.live) return { start: 0, end: duration || 0 }
    return seekable.length ? { start: seekable.start(0), end: seekable.end(seekable.length - 1) } : { start: 0, end: 0 }
  }

  // By EXT-X-PROGRAM-DATE-TIME, which only Safari tells.
  latency() {
    const since = this.video.getStartDate?.().getTime()
    return this.live && Number.isFinite(since) ? (Date.now() - since) / 1000 - this.video.currentTime : NaN
  }

  targetLatency() { return this.live ? TARGET_S : NaN }

  thumbnail() { return Promise.resolve(null) }

  toLive() {
    this.video.currentTime = this.range().end
    this.video.play().catch(() => {})
  }

  seek(seconds) {
    const { start, end } = this.range()
    this.video.currentTime = Math.min(Math.max(seconds, start), end || seconds)
  }

  metrics() {
    return { latency: this.latency(), targetLatency: this.targetLatency(), buffer: bufferedS(this.video), rung: this.rung(), rungs: [],
      ...pictureMetrics(this.video), stalls: this.stalls, firstFrameMs: this.firstFrameMs }
  }

  close() {
    this.endWatch()
    this.listening.abort()
    this.video.removeAttribute('src')
    this.video.load()
  }
}
