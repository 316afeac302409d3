// media_keys.js - Media Session: keys of keyboards and headsets, and what a phone's lock screen shows of the stream.

const STEP_S = 10

export class MediaKeys {
  constructor(video, controls) {
    this.session = navigator.mediaSession
    this.video = video
    this.controls = controls
    this.title = ''
    if (!this.session) return
    const acts = {
      play: () => video.play().catch(() => {}),
      pause: () => video.pause(),
      seekbackward: (e) => controls.step(-(e.seekOffset || STEP_S)),
      seekforward: (e) => controls.step(e.seekOffset || STEP_S),
      seekto: (e) => controls.seek(controls.range().start + e.seekTime),
    }
    for (const [name, act] of Object.entries(acts)) {
      try {
        this.session.setActionHandler(name, act)
      } catch {
        // a browser that does not know this key
      }
    }
    for (const event of ['play', 'pause', 'seeked', 'durationchange', 'emptied']) video.addEventListener(event, () => this.position())
  }

  // poster: an address; there may be no picture at it
  describe(title, poster) {
    if (!this.session || title === this.title) return
    this.title = title
    this.session.metadata = new MediaMetadata({ title, artist: 'Freshet', artwork: [{ src: poster, type: 'image/jpeg' }] })
  }

  position() {
    const { start, end } = this.controls.range(), position = this.video.currentTime - start
    this.session.playbackState = this.video.readyState === 0 ? 'none' : this.video.paused ? 'paused' : 'playing'
    if (!this.session.setPositionState) return
    if (end > start && position >= 0 && position <= end - start)
      this.session.setPositionState({ duration: end - start, position, playbackRate: this.video.playbackRate || 1 })
    else
      this.session.setPositionState()
  }
}
