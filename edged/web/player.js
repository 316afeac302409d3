// player.js - dash.js, set up for a stream about a second behind, and the few questions the page asks of it.

export const NEAR_S = 1.5 // no further behind than this beyond the target is at the live edge
const STILL_MS = 2000, LOOK_MS = 250
const MOVED_S = 0.2 // so much of it was played: on a busy machine by fits and starts, and a jump to another place (JUMPED_S at a look) is no playing
const JUMPED_S = 1.5
const JUMP_S = 3 // further behind than this beyond the target nobody catches up by speed: that would take a minute and more
const UTC_SCHEME = 'urn:mpeg:dash:utc:http-xsdate:2014'

// How it plays here, for who runs the edges (CMCD): with segments in headers, so that their addresses stay the same for all, and when it
// begins, stands still or fails by POST. Nobody is named: the session's id is made up anew each time.
const reports = (url) => ({
  enabled: true,
  version: 2,
  mode: 'headers',
  includeInRequests: ['segment'],
  eventTargets: [{ enabled: true, url: url.replace(/\/live\/([^/]+)\/.*$/, '/cmcd/$1'), events: ['ps', 'e'],
    enabledKeys: ['e', 'ec', 'sta', 'bl', 'ltc', 'sid', 'ts', 'v'], interval: 0, batchSize: 1 }],
})

function settings(live, url) {
  return {
    streaming: {
      cmcd: reports(url),
      // The target latency and the catch-up rates are the manifest's (ServiceDescription, ProducerReferenceTime).
      applyServiceDescription: true,
      applyProducerReferenceTime: true,
      cacheInitSegments: true,
      utcSynchronization: {
        // Ours, also where the manifest should name none: dash.js would ask a host of its own choice.
        defaultTimingSource: { scheme: UTC_SCHEME, value: new URL('/time', location.href).href },
        useManifestDateHeaderTimeSource: false,
      },
      // Who is further behind by accident jumps; who went back by intent is let be (catchUp). The manifest would let be everybody.
      liveCatchup: { enabled: live, maxDrift: JUMP_S },
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

// One source being played: from its manifest's address to close().
export class Player {
  // events: started(), stands() when the picture should move and has not for STILL_MS, moves() when it does again, ended(),
  // failed(code, text), rungs(), rung()
  constructor(video, url, live, events) {
    this.video = video
    this.live = live
    this.stalls = 0
    this.stands = false
    this.rendered = null
    this.startedAt = performance.now()
    this.firstFrameMs = null
    const dash = this.dash = dashOn(video)
    dash.updateSettings(settings(live, url))
    this.handlers = []
    const on = (name, call) => {
      this.handlers.push([window.dashjs.MediaPlayer.events[name], call])
      dash.on(window.dashjs.MediaPlayer.events[name], call)
    }
    on('STREAM_INITIALIZED', () => {
      if (!dash.isDynamic()) this.live = false // it ended before we came
      events.rungs()
    })
    on('QUALITY_CHANGE_RENDERED', (e) => {
      if (e.mediaType === 'video') {
        this.rendered = e.newRepresentation
        events.rung()
      }
    })
    on('PLAYBACK_PLAYING', () => {
      if (this.firstFrameMs === null) this.firstFrameMs = performance.now() - this.startedAt
      events.started()
    })
    on('BUFFER_EMPTY', () => {
      if (this.firstFrameMs !== null && !video.paused && !video.seeking) this.stalls++
    })
    // Near the live edge dash.js asks a site that is gone fifteen times before it goes to the next.
    on('CONTENT_STEERING_REQUEST_COMPLETED', () => {
      if (this.otherSites().length) dash.updateSettings({ streaming: { retryAttempts: { MediaSegment: 2, lowLatencyMultiplyFactor: 1 } } })
    })
    // After dash.js has finished with the event: these may close the player, and it goes on using what it then lost.
    const afterwards = (call) => setTimeout(call, 0)
    on('PLAYBACK_ENDED', () => afterwards(() => events.ended()))
    on('ERROR', (e) => afterwards(() => events.failed(e.error?.code ?? null, e.error?.message || 'unknown fault')))
    this.listening = new AbortController()
    const hear = (name, call) => live && video.addEventListener(name, call, { signal: this.listening.signal })
    hear('pause', () => this.catchUp(false))
    hear('play', () => this.catchUp(!(this.latency() > this.targetLatency() + NEAR_S)))
    this.watchPicture(events)
    dash.attachSource(new URL(url, location.href).href)
  }

  // Whatever the cause is, and whatever dash.js takes it for: a picture that stands still is told by nothing but itself.
  watchPicture(events) {
    const video = this.video
    let last = video.currentTime, playedS = 0, sinceMs = performance.now()
    this.pictureTimer = setInterval(() => {
      const movedS = video.currentTime - last
      last = video.currentTime
      if (!video.seeking && movedS > 0 && movedS < JUMPED_S) playedS += movedS
      const rests = video.paused || video.ended || this.firstFrameMs === null // nobody expects it to move
      if (rests || playedS >= MOVED_S) {
        sinceMs = performance.now()
        playedS = 0
      }
      const stood = performance.now() - sinceMs >= STILL_MS
      if (stood === this.stands) return
      this.stands = stood
      if (stood) events.stands()
      else events.moves()
    }, LOOK_MS)
  }

  // Addresses of the other sites that the player has been told of (content steering): what one does not give it loads from the next.
  otherSites() {
    const clones = this.dash.getCurrentSteeringResponseData()?.pathwayClones || []
    return clones.map((clone) => clone['URI-REPLACEMENT'].HOST).filter((host) => host !== location.host).map((host) => `${location.protocol}//${host}`)
  }

  rungs() {
    return this.dash.getRepresentationsByType('video') || []
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
    return this.hasCaptions() && this.dash.isTextEnabled()
  }

  showCaptions(shown) {
    if (this.hasCaptions()) this.dash.setTextTrack(shown ? 0 : -1)
  }

  // { start, end } of what can be played now, in the video's own time
  range() {
    if (!this.live) return { start: 0, end: this.video.duration || 0 }
    const dvr = this.dash.getDvrWindow()
    return dvr && Number.isFinite(dvr.end) ? { start: dvr.start, end: dvr.end } : { start: 0, end: 0 }
  }

  latency() {
    const seconds = this.live ? this.dash.getCurrentLiveLatency() : NaN
    return Number.isFinite(seconds) ? seconds : NaN
  }

  targetLatency() {
    return this.live ? this.dash.getTargetLiveDelay() : NaN
  }

  // Catching up pulls a viewer to the live edge, by speed or, from afar, by a jump: not one who went back by intent.
  catchUp(enabled) {
    this.dash.updateSettings({ streaming: { liveCatchup: { enabled } } })
  }

  toLive() {
    this.catchUp(true)
    this.dash.seekToOriginalLive()
    this.video.play().catch(() => {})
  }

  seek(seconds) {
    const { start, end } = this.range()
    const edge = this.live ? Math.max(start, end - this.targetLatency()) : end
    if (this.live) this.catchUp(seconds > edge - NEAR_S)
    this.video.currentTime = Math.min(Math.max(seconds, start), edge)
  }

  metrics() {
    const video = this.video, quality = video.getVideoPlaybackQuality()
    const rung = this.rung()
    return {
      latency: this.latency(),
      targetLatency: this.targetLatency(),
      buffer: this.dash.getBufferLength('video') || this.dash.getBufferLength('audio') || 0,
      rung: rung ? { id: rung.id, width: rung.width, height: rung.height } : null,
      rungs: this.rungs().map((r) => ({ id: r.id, width: r.width, height: r.height })),
      width: video.videoWidth,
      height: video.videoHeight,
      decodedFrames: quality.totalVideoFrames,
      droppedFrames: quality.droppedVideoFrames,
      // Chromium and Safari have it; null elsewhere
      decodedAudioBytes: video.webkitAudioDecodedByteCount ?? null,
      playbackRate: video.playbackRate,
      currentTime: video.currentTime,
      stalls: this.stalls,
      firstFrameMs: this.firstFrameMs,
    }
  }

  close() {
    clearInterval(this.pictureTimer)
    this.listening.abort()
    for (const [name, call] of this.handlers) this.dash.off(name, call)
    this.dash.attachSource(null)
  }
}
