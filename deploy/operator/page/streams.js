// streams.js - a card a stream, with its picture: muted, the smallest rung, some seconds behind, so that many cost little.
import { count, since } from './words.js'

const PICTURES_MAX = 6 // play at the same time; of the cards that can be seen
const DELAY_S = 4

function make(name, className, ...children) {
  const made = document.createElement(name)
  if (className) made.className = className
  made.append(...children)
  return made
}

class Card {
  constructor(wall) {
    this.wall = wall
    this.video = make('video')
    this.video.muted = true
    this.video.playsInline = true
    this.veil = make('p', 'veil', 'no picture')
    this.state = make('span', 'state')
    this.name = make('strong')
    this.title = make('span', 'title dim')
    this.facts = make('span', 'facts')
    this.element = make('article', 'stream', make('div', 'frame', this.video, this.veil, this.state),
      make('div', 'text', this.name, this.title, this.facts))
    this.element.card = this
    this.seen = false
    this.video.addEventListener('playing', () => { this.veil.hidden = true })
    wall.observer.observe(this.element)
  }

  show(stream, watch) {
    this.name.textContent = stream.stream
    this.title.textContent = stream.title
    this.title.hidden = !stream.title
    this.state.textContent = stream.state
    this.state.className = `state ${stream.state}`
    this.facts.textContent = [count(stream.viewers, 'viewer'), since(stream.started), stream.transcoder, `${count(stream.origins.length, 'copy', 'copies')}`,
      stream.generation > 1 ? `writer ${stream.generation}` : ''].filter(Boolean).join(' · ')
    this.facts.title = `session ${stream.session}, on ${stream.origins.join(', ')}`
    const url = watch && `${watch}/live/${encodeURIComponent(stream.stream)}/manifest.mpd`
    if (url !== this.url || stream.session !== this.session) this.stop()
    this.url = url
    this.session = stream.session
  }

  play() {
    if (this.player || !this.url || !window.dashjs) return
    const player = this.player = window.dashjs.MediaPlayer().create()
    const origin = new URL(this.url).origin
    player.initialize()
    player.updateSettings({
      debug: { logLevel: window.dashjs.Debug.LOG_LEVEL_NONE },
      streaming: {
        applyServiceDescription: false,
        delay: { liveDelay: DELAY_S },
        utcSynchronization: { defaultTimingSource: { scheme: 'urn:mpeg:dash:utc:http-xsdate:2014', value: `${origin}/time` } },
        buffer: { bufferToKeep: 8, bufferTimeDefault: 4 },
        abr: { autoSwitchBitrate: { video: false, audio: false }, initialBitrate: { video: 1, audio: 1 } },
      },
    })
    player.on(window.dashjs.MediaPlayer.events.ERROR, (e) => {
      this.stop()
      this.veil.textContent = e.error && (e.error.code === 25 || e.error.code === 10) ? 'no picture: the edge does not give it to strangers, or cannot be reached' : 'no picture'
      this.failedAt = Date.now()
    })
    player.attachView(this.video)
    player.setAutoPlay(true)
    player.attachSource(this.url)
  }

  stop() {
    if (!this.player) return
    const player = this.player
    this.player = null
    player.destroy()
    this.veil.hidden = false
  }

  end() {
    this.wall.observer.unobserve(this.element)
    this.stop()
    this.element.remove()
  }
}

export class Wall {
  constructor(box) {
    this.box = box
    this.cards = new Map()
    this.empty = make('p', 'empty')
    this.observer = new IntersectionObserver((entries) => {
      for (const e of entries) e.target.card.seen = e.isIntersecting
      this.choose()
    })
  }

  show(streams, watch, why) {
    for (const [name, card] of this.cards) {
      if (!streams.some((s) => s.stream === name)) {
        card.end()
        this.cards.delete(name)
      }
    }
    for (const s of streams) {
      if (!this.cards.has(s.stream)) this.cards.set(s.stream, new Card(this))
      const card = this.cards.get(s.stream)
      card.show(s, watch)
      if (!card.element.isConnected) this.box.append(card.element)
    }
    this.empty.textContent = why
    if (streams.length) this.empty.remove()
    else this.box.append(this.empty)
    this.choose()
  }

  // The first that can be seen play; one that failed is tried again after a while.
  choose() {
    let left = document.hidden ? 0 : PICTURES_MAX
    for (const card of this.cards.values()) {
      const again = !card.failedAt || Date.now() - card.failedAt > 15000
      if (card.seen && left > 0 && again) {
        card.play()
        left--
      } else if (!card.seen || left <= 0) {
        card.stop()
        if (card.seen && !card.failedAt) card.veil.textContent = 'not played: enough others are'
      }
    }
  }
}
