// player.js - dash.js, set up for a stream about a second behind, and the few questions the page asks of it.
//
// It is kept as far behind the camera as the viewer's connection needs (pace.js), by speed. Who goes back or pauses stays where he is.
import { scaleOf } from '/web/boxes.js'
import { Captions } from '/web/captions.js'
import { SCHEMES } from '/web/cues.js'
import { Pace } from '/web/pace.js'
import { bufferedS, pictureMetrics, watchPicture } from '/web/picture.js'
import { RATE, Speed } from '/web/speed.js'

export const NEAR_S = 1.5 // no further behind than this beyond the target is at the live edge
const JUMP_S = 3 // further behind than this beyond the target nobody catches up by speed: that would take a minute and more
const PACE_MS = 50, PACE_STEP_S = 0.04 // how often it is looked at; less is not told to dash.js
const LATE_MS = 4000 // no first picture for so long: the live edge may be late, and is looked for farther back
const QUIET_MS = 1500 // after a jump: what is in the buffer says nothing of the connection yet
const NO_DURATION = 0xffffffff // of an event, in its ticks
const INIT = 'InitializationSegment' // dash.js's word
const UTC_SCHEME = 'urn:mpeg:dash:utc:http-xsdate:2014'

// WebKit, of whatever browser. dash.js changes the speed there by a quarter or not at all on desktops, and many times a second on phones,
// where each change is seen. So the page sets it (speed.js), and dash.js never does.
const OWN_SPEED = navigator.vendor.startsWith('Apple')

// How it plays here, for who runs the edges (CMCD): with segments in headers, so that their addresses stay the same for all, and when it
// begins, stands still or fails by POST. Nobody is named: the session's id is made up anew each time.
const reports = (base) => ({
  enabled: true,
  version: 2,
  mode: 'headers',
  includeInRequests: ['segment'],
  eventTargets: [{ enabled: true, url: base.replace(/\/live\/([^/]+).*$/, '/cmcd/$1'), events: ['ps', 'e'],
    enabledKeys: ['e', 'ec', 'sta', 'bl', 'ltc', 'sid', 'ts', 'v'], interval: 0, batchSize: 1 }],
})

function settings(live, base) {
  return {
    streaming: {
      cmcd: reports(base),
      // The target latency and the catch-up rates are the manifest's (ServiceDescription, ProducerReferenceTime).
      applyServiceDescription: true,
      applyProducerReferenceTime: true,
      cacheInitSegments: true,
      utcSynchronization: {
        // Ours, also where the manifest should name none: dash.js would ask a host of its own choice.
        defaultTimingSource: { scheme: UTC_SCHEME, value: new URL('/time', location.href).href },
        useManifestDateHeaderTimeSource: false,
      },
      // Who is further behind by accident jumps; who went back by intent is let be (catchUp). The manifest would let be everybody. And
      // its rates are for players that know nothing of the connection: as these are approached only far from the target, they take half a
      // minute.
      liveCatchup: { enabled: live && !OWN_SPEED, maxDrift: JUMP_S, playbackRate: { min: -RATE, max: RATE } },
      // With 200 ms chunks a buffer of a few tenths is normal, not a stall.
      buffer: live ? { lowLatencyStallThreshold: 0.1, bufferToKeep: 30 } : {},
      gaps: { jumpGaps: true, jumpLargeGaps: true },
      abr: { autoSwitchBitrate: { video: true, audio: true } },
      text: { defaultEnabled: false },
    },
  }
}

// A segment that came in pieces ends with an empty one. dash.js (5.2.1) looks for captions in it, stumbles, and forgets those on show.
const passEmptyPieces = (dash) => dash.on('videoChunkReceived', (e) => {
  if (!e.chunk.bytes?.byteLength) e.chunk = { representation: { mediaInfo: {} } }
}, null, { priority: 10000 })

export const supported = () => Boolean(window.dashjs && (window.MediaSource || window.ManagedMediaSource))

// One dash.js for the page's life, given one source after another: parts of it wait for events of the video element and
// would act on nothing if it were taken down.
let shared = null
function dashOn(video) {
  if (!shared) {
    shared = window.dashjs.MediaPlayer().create()
    // It begins to play by itself, when it hears what the element says: told to play sooner, it would take the viewer for one who
    // pauses, and never look for a changed manifest. (Some browsers want a tap first; the play button is there for it.)
    shared.initialize(video, null, true)
    passEmptyPieces(shared)
  }
  shared.resetSettings()
  return shared
}

// dash.js numbers its faults (dashjs.MediaPlayer.errors). What it lives with by itself is none for the page:
const MINOR = new Set([null, 12, 16, 29, 33]) // steering, xlink, time source, text tracks
const LOADING = new Set([25, 27, 28])    // a manifest, a segment, an init segment was not to be had from one site
const HOPELESS = new Set([23, 32, 35])  // no media source, nothing in the manifest that the browser can decode
const kindOf = (code) => MINOR.has(code) ? 'minor' : LOADING.has(code) ? 'loading' : HOPELESS.has(code) ? 'hopeless' : 'fault'

// What a manifest says of latency, in seconds: lead is how long before a picture's time is told to be available it was captured, by
// which dash.js takes every picture for newer than it is.
function readManifest(manifest) {
  const [service] = manifest.ServiceDescription || [], latency = service?.Latency
  const references = (manifest.Period || []).flatMap((p) => p.AdaptationSet || []).flatMap((set) => set.ProducerReferenceTime || [])
  const captured = references.find((r) => r.type === 'captured' && Number(r.presentationTime) === 0)
  const lead = captured ? (new Date(manifest.availabilityStartTime) - new Date(captured.wallClockTime)) / 1000 : 0
  // A recording is played from 0 on, wherever it begins.
  const [period] = manifest.Period || [], shift = manifest.type === 'dynamic' ? 0 : Number(period?.id?.slice(1)) - (period?.start || 0)
  return { lead: Number.isFinite(lead) ? lead : 0, shift: shift || 0, target: latency?.target / 1000 || NaN, least: latency?.min / 1000 || 0 }
}

// How far behind the next player begins: the last one gave up before it had a picture. 0: as usual.
let beginBehind = 0

// One source being played: from the address that its manifest is at to close().
export class Player {
  // events: started(), stands() when the picture should move and has not for STILL_MS, moves() when it does again, ended(),
  // failed(kind, text) with what kindOf() knows, rungs(), rung(), cue(what cues.js takes). from: where to begin, in seconds of the
  // broadcast; NaN: as usual
  constructor(video, base, live, events, from = NaN) {
    this.video = video
    this.live = live
    this.from = from
    this.stalls = 0
    this.stands = false
    this.rendered = null
    this.startedAt = performance.now()
    this.firstFrameMs = null
    const dash = this.dash = dashOn(video)
    this.lead = 0
    this.shift = 0 // what the video's time is behind the broadcast's
    this.pace = null // as long as nobody knows the manifest, or it is a recording
    this.delay = NaN // what dash.js was told last
    this.atEdge = live && Number.isNaN(from)
    this.captions = new Captions(video, () => dash.setTextTrack(0)) // it has its own reader, which is late
    this.scale = 1 // ticks a second, of pictures
    this.speed = new Speed()
    this.quietUntil = 0
    this.lookedAt = this.startedAt // for the first picture
    dash.updateSettings(settings(this.atEdge, base))
    this.handlers = []
    const on = (name, call) => {
      this.handlers.push([window.dashjs.MediaPlayer.events[name], call])
      dash.on(window.dashjs.MediaPlayer.events[name], call)
    }
    on('MANIFEST_LOADED', (e) => this.read(e.data))
    on('STREAM_INITIALIZED', () => {
      if (!dash.isDynamic()) this.live = false // it ended before we came
      events.rungs()
    })
    on('TEXT_TRACKS_ADDED', () => (this.live || !dash.isTextEnabled()) && this.hideTracks())
    on('QUALITY_CHANGE_RENDERED', (e) => {
      if (e.mediaType === 'video') {
        this.rendered = e.newRepresentation
        events.rung()
      }
    })
    on('PLAYBACK_PLAYING', () => {
      if (this.firstFrameMs === null) {
        this.firstFrameMs = performance.now() - this.startedAt
        beginBehind = 0
        if (this.live && !this.atEdge) this.catchUpWhereNear()
      }
      events.started()
    })
    on('BUFFER_EMPTY', () => {
      if (this.firstFrameMs === null || video.paused || video.seeking) return
      this.stalls++
      this.pace?.stalled()
    })
    // Near the live edge dash.js asks a site that is gone fifteen times before it goes to the next.
    on('CONTENT_STEERING_REQUEST_COMPLETED', () => {
      if (this.otherSites().length) dash.updateSettings({ streaming: { retryAttempts: { MediaSegment: 2, lowLatencyMultiplyFactor: 1 } } })
    })
    // After dash.js has finished with the event: these may close the player, and it goes on using what it then lost.
    const afterwards = (call) => setTimeout(call, 0)
    on('PLAYBACK_ENDED', () => afterwards(() => events.ended()))
    on('ERROR', (e) => afterwards(() => events.failed(kindOf(e.error?.code ?? null), e.error?.message || 'unknown fault')))
    // Told when they come, which is before their time: cues.js looks at the clock.
    const cue = ({ event: e }) => events.cue?.({ id: e.id, scheme: e.eventStream.schemeIdUri, at: e.calculatedPresentationTime,
      duration: e.duration < NO_DURATION / (e.eventStream.timescale || 1) ? e.duration : null, bytes: e.messageData })
    for (const scheme of SCHEMES) {
      this.handlers.push([scheme, cue])
      dash.on(scheme, cue, null, { mode: window.dashjs.MediaPlayer.events.EVENT_MODE_ON_RECEIVE })
    }
    const pieces = ({ chunk: { bytes, segmentType } }) => this.pictures(bytes && new Uint8Array(bytes), segmentType)
    this.handlers.push(['videoChunkReceived', pieces])
    dash.on('videoChunkReceived', pieces)
    this.listening = new AbortController()
    const hear = (name, call) => live && video.addEventListener(name, call, { signal: this.listening.signal })
    hear('pause', () => this.catchUp(false))
    hear('play', () => this.firstFrameMs !== null && this.catchUpWhereNear())
    hear('seeking', () => { this.quietUntil = performance.now() + QUIET_MS })
    this.endWatch = watchPicture(video, () => this.firstFrameMs !== null, (stands) => {
      this.stands = stands
      if (stands && this.atEdge && this.pace) this.stayBehind(this.latency())
      if (stands) events.stands()
      else events.moves()
    })
    this.paceTimer = setInterval(() => this.follow(), PACE_MS)
    dash.attachSource(new URL(`${base}/manifest.mpd`, location.href).href, from)
  }

  // As they come, for captions.
  pictures(bytes, type) {
    if (!bytes) return
    if (type === INIT) this.scale = scaleOf(bytes)
    else if (this.live) this.captions.add(bytes, this.scale)
  }

  read(manifest) {
    if (!manifest) return
    const told = readManifest(manifest)
    this.shift = told.shift
    if (manifest.type !== 'dynamic') return
    this.lead = told.lead
    if (this.pace || !told.target) return
    this.pace = new Pace(told.target, told.least)
    if (beginBehind && this.atEdge) this.stayBehind(beginBehind)
  }

  // Not to be pulled to where nothing is yet.
  stayBehind(latency) {
    this.pace.stood(latency)
    this.keepBehind(this.pace.target)
  }

  fartherBack() {
    return 2 * Math.max(2, this.pace.target)
  }

  // Twice as far behind each time.
  lookFartherBack() {
    this.stayBehind(this.fartherBack())
    if (this.video.readyState > 0) this.jump()
  }

  // To where he is to be.
  jump() {
    const { start, end } = this.range()
    if (end > start) this.video.currentTime = Math.max(start, end - (this.pace.target - this.lead))
  }

  // What the connection needs now.
  follow() {
    const { video, pace } = this, now = performance.now()
    if (!pace || !this.live || !this.atEdge) return
    if (this.firstFrameMs === null && now - this.lookedAt > LATE_MS) {
      this.lookedAt = now
      this.lookFartherBack()
    }
    if (this.firstFrameMs === null || video.paused || video.seeking || now < this.quietUntil) return
    pace.look(now / 1000, this.latency(), bufferedS(video))
    this.keepBehind(pace.target)
    if (OWN_SPEED) this.keepUp(this.latency() - pace.target)
  }

  // As dash.js does elsewhere: by speed, or, from afar, by a jump.
  keepUp(beyond) {
    if (beyond > JUMP_S) this.jump()
    else this.playAt(this.speed.look(beyond))
  }

  playAt(rate) {
    if (this.video.playbackRate !== rate) this.video.playbackRate = rate
  }

  // dash.js goes for that latency, and loads no more than that in advance.
  keepBehind(latency) {
    const delay = Math.max(0.1, latency - this.lead)
    if (Math.abs(delay - this.delay) < PACE_STEP_S) return
    this.delay = delay
    this.dash.updateSettings({ streaming: { delay: { liveDelay: delay } } })
  }

  // Addresses of the other sites that the player has been told of (content steering): what one does not give it loads from the next.
  otherSites() {
    const clones = this.dash.getCurrentSteeringResponseData()?.pathwayClones || []
    return clones.map((clone) => clone['URI-REPLACEMENT'].HOST).filter((host) => host !== location.host).map((host) => `${location.protocol}//${host}`)
  }

  rungs() {
    return this.dash.getRepresentationsByType('video') || []
  }

  // The name of a track that tells what is said.
  track() {
    return (this.rungs()[0] || this.dash.getRepresentationsByType('audio')?.[0])?.id || ''
  }

  // The one that is on screen, or, until the first switch is seen there, the one being loaded.
  rung() {
    return this.rendered || this.dash.getCurrentRepresentationForType('video')
  }

  // id of a rung, or null for automatic
  choose(id) {
    this.dash.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: id === null } } } })
    // At the live edge the buffer is a second: the switch is seen soon without throwing it away, and nothing stalls.
    if (id !== null) this.dash.setRepresentationForTypeById('video', id, !this.live)
  }

  hasCaptions() {
    return this.video.textTracks.length > 0
  }

  showsCaptions() {
    return this.live ? this.captions.shown : this.hasCaptions() && this.dash.isTextEnabled()
  }

  // dash.js tells a text when that is over, which is in time only where much is loaded in advance.
  showCaptions(shown) {
    if (this.live) this.captions.show(shown)
    if (this.hasCaptions() && !(this.live && shown)) this.dash.setTextTrack(shown ? 0 : -1)
  }

  // dash.js shows those that it has from a source before, and does not take them away at its end.
  hideTracks() {
    for (const track of this.video.textTracks) if (track.isEmbedded) track.mode = 'hidden'
  }

  // { start, end } of what can be played now, in the video's own time
  range() {
    if (!this.live) return { start: 0, end: this.video.duration || 0 }
    const dvr = this.dash.getDvrWindow()
    return dvr && Number.isFinite(dvr.end) ? { start: dvr.start, end: dvr.end } : { start: 0, end: 0 }
  }

  // Behind the camera, which is the manifest's producer reference time.
  latency() {
    const seconds = this.live ? this.dash.getCurrentLiveLatency() + this.lead : NaN
    return Number.isFinite(seconds) ? seconds : NaN
  }

  targetLatency() {
    return this.pace ? this.pace.target : this.live ? this.dash.getTargetLiveDelay() + this.lead : NaN
  }

  // Where another player is to begin that takes over from this one, as `from`.
  place() {
    if (this.live && this.atEdge) return NaN
    return this.firstFrameMs === null ? this.from : this.video.currentTime
  }

  // Catching up pulls a viewer to the live edge, by speed or, from afar, by a jump: not one who went back by intent. He stays where he is,
  // with as much in hand as there is between him and the live edge.
  catchUp(enabled, latency = this.latency()) {
    this.atEdge = enabled
    if (!OWN_SPEED) this.dash.updateSettings({ streaming: { liveCatchup: { enabled } } })
    else if (!enabled) this.playAt(1)
    if (enabled && this.pace) this.keepBehind(this.pace.target)
    else if (latency > this.targetLatency() + NEAR_S) this.keepBehind(latency)
  }

  catchUpWhereNear() {
    this.catchUp(!(this.latency() > this.targetLatency() + NEAR_S))
  }

  // A picture of that time for who is looking for a place, or null.
  thumbnail(seconds) {
    if (!this.dash.getRepresentationsByType('image')?.length) return Promise.resolve(null)
    return new Promise((done) => this.dash.provideThumbnail(seconds - (this.live ? this.range().start : 0), done))
  }

  toLive() {
    this.catchUp(true)
    this.dash.seekToOriginalLive()
    this.video.play().catch(() => {})
  }

  seek(seconds) {
    const { start, end } = this.range()
    const edge = this.live ? Math.max(start, end - (this.targetLatency() - this.lead)) : end
    if (this.live) this.catchUp(seconds > edge - NEAR_S, end + this.lead - seconds)
    this.video.currentTime = Math.min(Math.max(seconds, start), edge)
  }

  metrics() {
    const rung = this.rung()
    return {
      latency: this.latency(),
      targetLatency: this.targetLatency(),
      newestAge: this.pace ? this.pace.age : NaN, // at most, of the last half minute
      buffer: this.dash.getBufferLength('video') || this.dash.getBufferLength('audio') || 0,
      rung: rung ? { id: rung.id, width: rung.width, height: rung.height } : null,
      rungs: this.rungs().map((r) => ({ id: r.id, width: r.width, height: r.height })),
      ...pictureMetrics(this.video),
      stalls: this.stalls,
      firstFrameMs: this.firstFrameMs,
    }
  }

  close() {
    if (this.atEdge && this.pace && this.firstFrameMs === null) beginBehind = this.fartherBack()
    this.endWatch()
    this.captions.show(false)
    this.hideTracks()
    if (OWN_SPEED) this.playAt(1)
    clearInterval(this.paceTimer)
    this.listening.abort()
    for (const [name, call] of this.handlers) this.dash.off(name, call)
    this.dash.attachSource(null)
  }
}
