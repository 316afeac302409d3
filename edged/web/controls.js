// controls.js - buttons, sliders and keys of the watch page. They act on whatever player is there; without one they rest.
import { NEAR_S } from '/web/player.js'
import { recall, remember } from '/web/remembered.js'
import { clockText } from '/web/share.js'

const IDLE_MS = 3000
const STEP_S = 5
const MENU_MS = 30000 // for so long the browser's menu may be open
const STOPPED_MS = 1000 // a browser that stops a video because of its sound does so by then
const NORMAL = 1
const at = (id) => document.getElementById(id)

export class Controls {
  // current(): the Player or null. goLive(): what the live button does. cues: those of what is played
  constructor(current, goLive, cues) {
    this.current = current
    this.goLive = goLive
    this.cues = cues
    this.speed = NORMAL
    this.captions = false // wanted, by whatever player can show them
    this.stage = at('stage')
    this.video = at('video')
    this.dragging = false
    this.loudness()
    this.clicks()
    this.sliders()
    this.peeks()
    this.keys()
    this.idling()
    for (const event of ['play', 'pause', 'volumechange']) this.video.addEventListener(event, () => this.refresh())
    document.addEventListener('fullscreenchange', () => this.refresh())
    setInterval(() => this.tick(), 250)
    this.refresh()
  }

  // As it was last time.
  loudness() {
    const { video } = this, volume = recall('volume')
    if (volume > 0 && volume <= 1) video.volume = volume
    this.wantsMuted = recall('muted') !== false
    video.muted = this.wantsMuted
    video.addEventListener('canplay', () => video.paused && this.stage.dataset.state === 'loading' && this.begin())
    this.keepMuted()
  }

  // A browser that lets no page begin with sound begins without.
  begin() {
    this.video.play().catch((error) => {
      if (error.name !== 'NotAllowedError') return
      this.wantsMuted = this.video.muted = true
      this.video.play().catch(() => {})
    })
  }

  // WebKitGTK (2.50) gives a video its sound back when a source begins or its rate is changed, and, where no page may begin with sound,
  // stops it for that. Other than by the page's controls a viewer asks for sound by those of the browser: over the whole screen, or in a
  // menu.
  keepMuted() {
    const { video } = this
    let menuMs = -Infinity, takenMs = -Infinity
    video.addEventListener('contextmenu', () => { menuMs = performance.now() })
    video.addEventListener('volumechange', () => {
      if (video.muted || !this.wantsMuted) return
      if (video.webkitDisplayingFullscreen || document.pictureInPictureElement || performance.now() - menuMs < MENU_MS) {
        this.wantsMuted = false
        return
      }
      video.muted = true
      takenMs = performance.now()
      if (video.paused) this.begin()
    })
    video.addEventListener('pause', () => performance.now() - takenMs < STOPPED_MS && !video.ended && this.begin()) // it may be told later
  }

  clicks() {
    at('play').onclick = () => this.togglePlay()
    at('mute').onclick = () => this.toggleMute()
    at('unmute').onclick = () => this.unmute()
    at('full').onclick = () => this.toggleFull()
    at('live').onclick = () => this.goLive()
    at('captions').onclick = () => this.toggleCaptions()
    at('pip').onclick = () => this.togglePip()
    at('pip').hidden = !document.pictureInPictureEnabled && !this.video.webkitSupportsPresentationMode?.('picture-in-picture')
    this.video.onclick = () => {
      // On a touch screen a tap shows the controls; a mouse has shown them by moving.
      if (!matchMedia('(pointer: coarse)').matches) this.togglePlay()
    }
    at('quality').onchange = (e) => {
      const player = this.current()
      if (player) player.choose(e.target.value === 'auto' ? null : e.target.value)
      this.rung()
    }
    at('speed').onchange = (e) => this.setSpeed(Number(e.target.value))
  }

  sliders() {
    at('volume').oninput = (e) => this.setVolume(Number(e.target.value))
    const seek = at('seek')
    seek.oninput = () => {
      this.dragging = true
      this.peek(Number(seek.value))
    }
    seek.onchange = () => {
      this.dragging = false
      at('peek').hidden = true
      this.seek(Number(seek.value))
    }
  }

  // Who looks for a place is told which one the pointer is at, with a picture where the broadcast has some.
  peeks() {
    const seek = at('seek')
    seek.addEventListener('pointermove', (e) => {
      if (this.dragging) return
      const { left, width } = seek.getBoundingClientRect(), min = Number(seek.min), max = Number(seek.max)
      this.peek(min + (max - min) * Math.min(1, Math.max(0, (e.clientX - left) / width)))
    })
    for (const event of ['pointerleave', 'blur']) seek.addEventListener(event, () => { at('peek').hidden = true })
  }

  async peek(seconds) {
    const player = this.current(), seek = at('seek'), peek = at('peek'), picture = at('peek-picture')
    const min = Number(seek.min), max = Number(seek.max)
    if (!player || max <= min) return
    peek.hidden = false
    at('peek-time').textContent = player.live ? `−${clockText(max - seconds)}` : clockText(seconds - min)
    at('peek-said').textContent = this.cues.near(seconds, min, max)
    const thumb = await player.thumbnail(seconds)
    picture.hidden = !thumb
    if (thumb) {
      Object.assign(picture.style, { width: `${thumb.width}px`, height: `${thumb.height}px`, backgroundImage: `url("${thumb.url}")`,
        backgroundPosition: `-${thumb.x}px -${thumb.y}px` })
    }
    const room = seek.clientWidth - peek.offsetWidth
    peek.style.left = `${seek.offsetLeft + Math.min(room, Math.max(0, seek.clientWidth * (seconds - min) / (max - min) - peek.offsetWidth / 2))}px`
  }

  keys() {
    document.addEventListener('keydown', (e) => {
      if (e.ctrlKey || e.altKey || e.metaKey || !this.current() || at('share-dialog').open) return
      const tag = e.target.tagName
      // A focused control keeps the keys that are its own.
      if (tag === 'SELECT' || (tag === 'INPUT' && e.key.startsWith('Arrow'))) return
      if (e.key === ' ' && (tag === 'BUTTON' || tag === 'SUMMARY' || tag === 'A')) return
      const act = {
        ' ': () => this.togglePlay(),
        m: () => this.toggleMute(),
        f: () => this.toggleFull(),
        l: () => this.goLive(),
        c: () => this.toggleCaptions(),
        p: () => this.togglePip(),
        '<': () => this.stepSpeed(-1),
        '>': () => this.stepSpeed(1),
        ArrowLeft: () => this.step(-STEP_S),
        ArrowRight: () => this.step(STEP_S),
        ArrowUp: () => this.setVolume(this.video.volume + 0.1),
        ArrowDown: () => this.setVolume(this.video.volume - 0.1),
      }[e.key.length === 1 ? e.key.toLowerCase() : e.key]
      if (!act) return
      e.preventDefault()
      this.wake()
      act()
    })
  }

  idling() {
    for (const event of ['pointermove', 'pointerdown', 'focusin']) this.stage.addEventListener(event, () => this.wake())
    this.wake()
  }

  wake() {
    this.stage.classList.remove('idle')
    clearTimeout(this.idleTimer)
    this.idleTimer = setTimeout(() => {
      if (!this.video.paused) this.stage.classList.add('idle')
    }, IDLE_MS)
  }

  togglePlay() {
    if (this.video.paused) this.video.play().catch(() => {})
    else this.video.pause()
  }

  toggleMute() {
    if (this.video.muted) this.unmute()
    else this.setMuted(true)
  }

  setMuted(muted) {
    this.wantsMuted = muted
    this.video.muted = muted
    remember('muted', muted)
  }

  unmute() {
    if (this.video.volume === 0) this.video.volume = 0.5
    this.setMuted(false)
  }

  setVolume(volume) {
    this.video.volume = Math.min(1, Math.max(0, volume))
    this.setMuted(this.video.volume === 0)
    remember('volume', this.video.volume)
  }

  toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen()
    else if (this.stage.requestFullscreen) this.stage.requestFullscreen().catch(() => {})
    else if (this.video.webkitEnterFullscreen) this.video.webkitEnterFullscreen() // phones that only know video full screen
  }

  togglePip() {
    const { video } = this
    if (document.pictureInPictureElement) document.exitPictureInPicture()
    else if (video.requestPictureInPicture) video.requestPictureInPicture().catch(() => {})
    else video.webkitSetPresentationMode?.(video.webkitPresentationMode === 'inline' ? 'picture-in-picture' : 'inline')
  }

  toggleCaptions() {
    const player = this.current()
    if (!player?.hasCaptions()) return
    this.captions = !player.showsCaptions()
    player.showCaptions(this.captions)
    this.tick()
  }

  setSpeed(speed) {
    this.speed = speed
    this.video.playbackRate = speed
    at('speed').value = String(speed)
  }

  stepSpeed(by) {
    const { options, selectedIndex } = at('speed'), next = options[selectedIndex + by]
    if (next && !at('speed').parentElement.hidden) this.setSpeed(Number(next.value))
  }

  step(seconds) {
    this.seek(this.video.currentTime + seconds)
  }

  seek(seconds) {
    const player = this.current()
    if (player) player.seek(seconds)
  }

  range() {
    const player = this.current()
    return player ? player.range() : { start: 0, end: 0 }
  }

  // ---- what is shown

  refresh() {
    const { paused, muted, volume } = this.video
    this.stage.classList.toggle('paused', paused)
    this.stage.classList.toggle('muted', muted)
    const label = (id, text, key) => {
      at(id).setAttribute('aria-label', text)
      at(id).title = `${text} (${key})`
    }
    label('play', paused ? 'Play' : 'Pause', 'space')
    label('mute', muted ? 'Unmute' : 'Mute', 'm')
    label('full', document.fullscreenElement ? 'Leave full screen' : 'Full screen', 'f')
    at('mute').setAttribute('aria-pressed', String(muted))
    at('volume').value = muted ? 0 : volume
    at('unmute').hidden = !muted || this.stage.dataset.state !== 'playing'
    if (paused) this.wake()
  }

  // A new set of rungs: fill the menu, automatic again.
  rungs() {
    const player = this.current()
    const options = [new Option('Auto', 'auto')]
    const byHeight = [...(player ? player.rungs() : [])].sort((a, b) => b.height - a.height)
    for (const r of byHeight) options.push(new Option(`${r.height}p`, r.id))
    at('quality').replaceChildren(...options)
    at('quality').parentElement.hidden = byHeight.length < 2
    this.rung()
  }

  // Automatic says what it has chosen.
  rung() {
    const player = this.current(), select = at('quality'), rung = player && player.rung()
    if (select.options.length)
      select.options[0].text = select.value === 'auto' && rung && rung.height ? `Auto ${rung.height}p` : 'Auto'
  }

  tick() {
    const player = this.current()
    if (!player) return
    const { start, end } = player.range(), now = this.video.currentTime, seek = at('seek')
    if (!this.dragging && end > start) {
      seek.min = start
      seek.max = end
      seek.value = now
      seek.setAttribute('aria-valuetext', player.live ? `${clockText(end - now)} behind live` : clockText(now - start))
    }
    at('captions').hidden = !player.hasCaptions()
    if (this.captions && player.hasCaptions() && !player.showsCaptions()) player.showCaptions(true)
    at('captions').setAttribute('aria-pressed', String(player.showsCaptions()))
    const latency = player.latency()
    const atEdge = player.live && !this.video.paused && latency < player.targetLatency() + NEAR_S
    at('live').classList.toggle('at-edge', atEdge)
    this.offerSpeed(!player.live || (!atEdge && latency > player.targetLatency() + NEAR_S))
    if (player.live) this.cues.draw()
    else this.cues.draw(start, end)
    at('live-text').textContent = player.live ? (atEdge ? 'Live' : 'Go live') : at('live-text').textContent
    at('latency').textContent = !player.live ? `${clockText(now)} / ${clockText(end)}`
      : Number.isNaN(latency) ? '' : latency < 60 ? `${latency.toFixed(1)} s` : `−${clockText(latency)}`
  }

  // At the live edge there is one speed, which the player steers by. Players set it too, when they begin or jump.
  offerSpeed(offered) {
    if (!offered && this.speed !== NORMAL) this.setSpeed(NORMAL)
    else if (offered && this.speed !== NORMAL && this.video.playbackRate !== this.speed) this.video.playbackRate = this.speed
    at('speed').parentElement.hidden = !offered
  }
}
