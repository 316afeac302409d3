// tail.js - a player of tracks that come as one answer without an end (`…/TRACK/tail`): half a second behind, with nothing but MediaSource.
//
//   new TailPlayer(video, base, stream, events)   loads at once → events.started() → … → close()
//
// Each track is one fetch() whose boxes go into a SourceBuffer as they come. How far behind the viewer is follows from what his network does to
// him: `slack` is how long before it is needed a chunk comes, and the least slack of the last seconds is steered, by the playback rate, to
// what is wanted: little at first, more with each stall. Another rung is loaded beside the one that plays, and takes over where a segment begins.
// What this cannot help is told by events.failed(): the page then plays with dash.js, which asks for segments and bears more.

import { Answer, joined, scaleOf, timeOf } from '/web/boxes.js'

const SLACK_S = 0.08, SLACK_MOST_S = 3, SLACK_STALL_S = 0.1 // wanted: at first, at most, and more for each stall
const SLACK_FORGET = 0.995      // a look, of what is beyond SLACK_S
const WINDOW_MS = 2000          // of which the least slack is taken
const LOOK_MS = 100
const JUMP_S = 1.5              // further behind than this one jumps, nearer the rate does it
const KEEP_S = 10               // behind the picture
const TRIES = 4                 // answers that break off, one after the other
const STALLS_MOST = 4, STALLS_MS = 30000 // more in that time: dash.js does it better
const BEGIN_MS = 10000          // until there is a picture with its sound
const DOWN_MS = 3000, UP_MS = 10000      // between changes of the rung
const UP_SPARE = 1.5            // the next rung's rate so many times is to have been there

// A track's way into its SourceBuffer, over all the answers that it comes in.
class Track {
  constructor(player, info) {
    this.player = player
    this.info = info
    this.queue = []
    this.tries = 0
    this.next = null // { info, answer, init, boxes, at }: another rung on its way, from media time `at` on
    this.open()
  }

  open() {
    this.begin()
    this.answer = this.ask(this.info, (type, bytes) => this.box(type, bytes), (fault) => this.over(fault))
  }

  begin() {
    this.init = []
    this.chunk = []
    this.scale = 0
    this.skips = false // of a new answer what was had of the one before
  }

  ask(info, box, over) { return new Answer(`${this.player.base}${info.name}/tail`, { box, over }) }

  attach(media) {
    const kind = /^avc/.test(this.info.codec) ? 'video' : 'audio'
    this.buffer = media.addSourceBuffer(`${kind}/mp4; codecs="${this.info.codec}"`)
    this.buffer.addEventListener('updateend', () => this.player.closed || this.appended())
    this.append()
  }

  box(type, bytes) {
    if (type === 'ftyp' || type === 'moov') {
      this.init.push(bytes)
      if (type !== 'moov') return
      this.scale = scaleOf(bytes)
      this.give(joined(this.init), false)
    } else if (type === 'prft' && this.segment(timeOf(bytes, this.scale))) {
      return
    } else {
      if (type === 'emsg') this.player.events.cue?.(bytes)
      this.chunk.push(bytes)
    }
    if (type !== 'mdat') return
    const chunk = joined(this.chunk.splice(0))
    if (this.skips) return
    this.give(chunk, true)
    if (/^avc/.test(this.info.codec)) this.player.events.pictures?.(chunk, this.scale)
  }

  // A segment begins here. true: the next rung has taken over.
  segment(at) {
    this.skips = this.end !== undefined && at < this.end - 0.5 // had of the answer before
    if (!this.skips) this.end = at + 1
    this.tries = 0
    if (!this.next || this.next.at === undefined || at < this.next.at) return false
    const { info, answer, boxes } = this.next
    this.answer.close()
    this.end = this.next.at
    this.next = null
    this.begin()
    this.info = info
    this.answer = answer
    for (const [type, bytes] of boxes) this.box(type, bytes)
    this.player.events.rung()
    return true
  }

  // Its first segment may be half over here: it begins with the one behind.
  change(info) {
    const next = this.next = { info, boxes: [], scale: 0, segments: 0 }
    next.answer = this.ask(info, (type, bytes) => {
      if (this.next !== next) return void (next.answer === this.answer && this.box(type, bytes))
      if (type === 'moov') next.scale = scaleOf(bytes)
      if (type === 'styp') next.segments++
      if (type === 'prft' && next.segments > 1 && next.at === undefined) next.at = timeOf(bytes, next.scale)
      if (next.segments !== 1) next.boxes.push([type, bytes])
    }, (fault) => (this.next === next ? (this.next = null) : next.answer === this.answer && this.over(fault)))
  }

  over(fault) {
    if (fault && this.end !== undefined) this.end -= 1 // its last segment is not whole
    if (fault && fault.status !== 404 && ++this.tries > TRIES) this.player.fail(fault.text)
    else if (fault && fault.status === 404) this.player.end() // there is no live edge any more
    else setTimeout(() => this.player.closed || this.open(), fault ? 250 * this.tries : 50)
  }

  give(bytes, media) {
    this.queue.push({ bytes, media })
    this.append()
  }

  append() {
    const { buffer } = this
    if (!buffer || buffer.updating || !this.queue.length || this.player.closed) return
    const list = this.queue.splice(0)
    if (list.some((one) => one.media)) {
      this.hasMedia = true
      this.player.came(this.ahead())
    }
    try {
      buffer.appendBuffer(joined(list.map((one) => one.bytes)))
    } catch (error) {
      this.player.fail(error.message)
    }
  }

  appended() {
    const { buffered } = this.buffer, { currentTime } = this.player.video
    this.player.begins()
    if (!this.buffer.updating && buffered.length && buffered.start(0) < currentTime - 1.5 * KEEP_S) this.buffer.remove(0, currentTime - KEEP_S)
    else this.append()
    this.player.mayEnd()
  }

  // Seconds that are there beyond the picture; negative: it lies behind all there is.
  ahead({ buffered } = this.buffer) { return buffered.length ? buffered.end(buffered.length - 1) - this.player.video.currentTime : NaN }

  close() {
    this.answer.close()
    if (this.next) this.next.answer.close()
  }
}

export const tailSupported = () => Boolean((window.ManagedMediaSource || window.MediaSource) && window.ReadableStream && window.AbortController)

export class TailPlayer {
  // base: ".../live/STREAM/SESSION/"; stream: its entry of /api/streams; events: started(), stalled(), ended(), failed(text), rung(),
  // cue(emsg box), pictures(chunk, ticks a second)
  constructor(video, base, stream, events, { clockMs = 0, stallsMost = STALLS_MOST, beginMs = BEGIN_MS } = {}) {
    Object.assign(this, { video, base, events, clockMs, stallsMost, beginMs, epochMs: Date.parse(stream.started), closed: false, live: true })
    Object.assign(this, { stalls: 0, stalledAt: [], slackWanted: SLACK_S, slacks: [], firstFrameMs: null, upMs: UP_MS, auto: true })
    this.sinceMs = this.changedMs = performance.now()
    this.video_rungs = stream.tracks.filter((t) => /^avc/.test(t.codec)).sort((a, b) => a.bandwidth - b.bandwidth)
    const sounds = stream.tracks.filter((t) => /^mp4a/.test(t.codec)).sort((a, b) => b.bandwidth - a.bandwidth)
    const first = this.video_rungs[Math.floor(this.video_rungs.length / 2)]
    this.tracks = [first, sounds[0]].filter(Boolean).map((info) => new Track(this, info))
    this.open()
    const hear = (name, call) => video.addEventListener(name, call, { signal: (this.listening ||= new AbortController()).signal })
    hear('waiting', () => this.stands())
    hear('playing', () => {
      if (this.firstFrameMs !== null) return
      this.firstFrameMs = performance.now() - this.sinceMs
      events.started()
    })
    this.timer = setInterval(() => this.look(), LOOK_MS)
  }

  open() {
    const Source = window.ManagedMediaSource || window.MediaSource
    this.media = new Source()
    this.video.disableRemotePlayback = true
    this.media.addEventListener('sourceopen', () => {
      try {
        this.media.duration = Infinity
        for (const track of this.tracks) track.attach(this.media)
      } catch (error) {
        this.fail(error.message)
      }
    }, { once: true })
    this.video.src = this.url = URL.createObjectURL(this.media)
  }

  // All tracks have something: the picture begins as near to the end as the next chunk allows.
  begins() {
    if (this.begun || !this.tracks.every((t) => t.hasMedia && t.buffer.buffered.length)) return
    const lasts = this.tracks.map(({ buffer: { buffered } }) => [buffered.start(buffered.length - 1), buffered.end(buffered.length - 1)])
    const start = Math.max(...lasts.map(([from]) => from)), end = Math.min(...lasts.map(([, to]) => to))
    if (end <= start) return
    this.begun = true
    this.video.currentTime = Math.max(start, end - 0.2 - this.slackWanted)
    this.video.play().catch(() => {})
  }

  came(slack) {
    if (this.begun && !this.video.paused && Number.isFinite(slack)) this.slacks.push([performance.now(), slack])
  }

  stands() {
    if (this.firstFrameMs === null || this.video.seeking || this.video.paused) return
    this.stalls++
    this.slackWanted = Math.min(SLACK_MOST_S, this.slackWanted + SLACK_STALL_S)
    const nowMs = performance.now()
    this.stalledAt = [...this.stalledAt.filter((at) => nowMs - at < STALLS_MS), nowMs]
    this.events.stalled?.()
    if (this.stalledAt.length > this.stallsMost) this.fail('it stands still too often')
  }

  look() {
    const nowMs = performance.now(), { video } = this
    if (!this.begun && nowMs - this.sinceMs > this.beginMs) this.fail('nothing that can be shown has come in time')
    if (!this.begun || this.closed || video.paused) return
    this.slackWanted = SLACK_S + (this.slackWanted - SLACK_S) * SLACK_FORGET
    this.slacks = this.slacks.filter(([at]) => nowMs - at < WINDOW_MS)
    this.passGap()
    if (!this.slacks.length) return
    const spare = Math.min(...this.slacks.map(([, slack]) => slack)) - this.slackWanted
    if (spare > JUMP_S) [video.currentTime, this.slacks] = [video.currentTime + spare, []]
    const rate = Math.abs(spare) < 0.02 ? 1 : 1 + Math.max(-0.08, Math.min(0.08, spare / 2))
    if (Math.abs(video.playbackRate - rate) > 0.005) video.playbackRate = rate
    if (this.auto) this.chooseRung(nowMs, spare)
  }

  // What the edge left out, or nobody ever made: behind it the picture goes on.
  passGap() {
    const { currentTime } = this.video
    const starts = this.tracks.map(({ buffer: { buffered } }) => {
      for (let i = 0; i < buffered.length; i++) if (buffered.end(i) > currentTime + 0.05) return buffered.start(i)
      return NaN
    })
    const next = Math.max(...starts)
    if (next > currentTime + 0.1) this.video.currentTime = next + 0.01
  }

  chooseRung(nowMs, spare) {
    const [track] = this.tracks, at = this.video_rungs.indexOf(track.info), sinceMs = nowMs - this.changedMs
    if (at < 0 || track.next || sinceMs < DOWN_MS) return
    const stalled = this.stalledAt.some((ms) => ms > this.changedMs)
    if ((stalled || spare < -0.5) && at > 0) {
      if (this.roseMs && nowMs - this.roseMs < 15000) this.upMs *= 2 // that was too much
      this.change(this.video_rungs[at - 1])
      return
    }
    if (sinceMs < this.upMs || stalled || at + 1 >= this.video_rungs.length) return
    if (track.answer.rate() < UP_SPARE * this.video_rungs[at + 1].bandwidth) return // NaN: it came too fast to be measured
    this.roseMs = nowMs
    this.change(this.video_rungs[at + 1])
  }

  change(info) {
    this.changedMs = performance.now()
    this.tracks[0].change(info)
  }

  rungs() { return this.video_rungs.map((t) => ({ id: t.name, width: t.width, height: t.height, bandwidth: t.bandwidth })) }

  rung() { return this.rungs().find((r) => r.id === this.tracks[0].info.name) || null }

  choose(id) { // null: by itself
    this.auto = id === null
    const info = this.video_rungs.find((t) => t.name === id && t !== this.tracks[0].info)
    if (info) this.change(info)
  }

  // Seconds between the camera and the screen; clockMs: how far this clock is behind the server's.
  latency() { return this.begun ? (Date.now() + this.clockMs - this.epochMs) / 1000 - this.video.currentTime : NaN }

  metrics() {
    return { latency: this.latency(), slack: this.slackWanted, buffer: Math.min(...this.tracks.map((t) => (t.buffer ? t.ahead() : 0))), rung: this.rung(),
      stalls: this.stalls, firstFrameMs: this.firstFrameMs, playbackRate: this.video.playbackRate, currentTime: this.video.currentTime }
  }

  end() { // of the broadcast: what is there is played out
    this.ending = true
    this.mayEnd()
  }

  mayEnd() {
    if (!this.ending || this.closed || this.tracks.some((t) => !t.buffer || t.buffer.updating || t.queue.length)) return
    if (this.media.readyState === 'open') this.media.endOfStream()
    this.video.addEventListener('ended', () => this.closed || this.events.ended(), { once: true })
    this.ending = false
  }

  fail(text) {
    if (this.closed) return
    this.close()
    this.events.failed(text)
  }

  close() {
    this.closed = true
    clearInterval(this.timer)
    this.listening?.abort()
    for (const track of this.tracks) track.close()
    this.video.playbackRate = 1
    URL.revokeObjectURL(this.url)
  }
}
