// caption_reader.js - closed captions (CEA-608, the first channel) out of the pictures that they come with.
//
//   new CaptionReader(video)   puts a track of text on the video   → add() of each chunk → close()
//
// What the bytes mean is told by the parser that dash.js has too. It tells a text when that one is over, which is too late at the live edge:
// there is no more than a second in hand, and a text stays for several. Here a text is shown as soon as it is there, and for as long as
// the chunks that come go on to have it.
import { samplesOf } from '/web/boxes.js'
import { Cta608Parser, extractCta608DataFromSample } from '/web/cea-608.js'

const HOLD_S = 0.5 // so much longer than the newest chunk a text stays that nobody took away: the next chunk may be late
const KEPT_S = 60  // behind the picture
const GAP_S = 0.1  // between two chunks: something is missing, and half a text is none
const AGAIN_S = 2  // a segment that broke off, or of another rung, begins so far before what there was; before that lies another place

export class CaptionReader {
  constructor(video) {
    this.video = video
    this.element = Object.assign(document.createElement('track'), { kind: 'captions', label: 'Captions' })
    video.append(this.element)
    this.track = this.element.track
    this.track.mode = 'showing'
    this.listening = new AbortController()
    video.textTracks.addEventListener('change', () => this.hideOthers(), { signal: this.listening.signal })
    this.hideOthers()
    this.begin()
  }

  // dash.js leaves its own behind, and browsers show what they find.
  hideOthers() {
    for (const track of this.video.textTracks) if (track !== this.track && track.mode === 'showing') track.mode = 'hidden'
    if (this.track.mode === 'disabled') this.track.mode = 'hidden' // by the browser's own menu: a disabled track has no cues
  }

  // What cannot be read is left out: it is not worth the picture.
  add(bytes, scale) {
    try {
      this.read(bytes, samplesOf(bytes, scale))
    } catch {
      this.begin()
    }
  }

  read(bytes, samples) {
    if (!samples.length) return
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), from = samples[0].at, end = samples.at(-1).until
    if (from > this.until + GAP_S || from < this.until - AGAIN_S) this.begin(from)
    for (const { at, offset, size } of samples)
      if (!(at < this.until - 0.001)) this.parser.addData(at, extractCta608DataFromSample(data, offset, size)[0])
    if (end <= this.until) return
    this.goesOn = false
    this.parser.cueSplitAtTime(end) // tells it again when it is still there
    if (this.cue) this.cue.endTime = this.cueUntil + (this.goesOn ? HOLD_S : 0)
    if (!this.goesOn) this.cue = null
    this.until = end
    this.forget()
  }

  // Nothing of what was said before is known any more, and what is said from then on comes anew. With a new parser, as one that is reset
  // goes on with half a text.
  begin(from = Infinity) {
    this.parser = new Cta608Parser(1, { newCue: (start, until, screen) => this.show(start, until, screen.getDisplayText()) }, null)
    this.until = NaN // the end of what came last
    this.cue = null  // on show at that end
    this.cueUntil = NaN // so long for certain
    this.goesOn = false
    for (const cue of [...this.track.cues ?? []]) {
      if (cue.startTime >= from) this.track.removeCue(cue)
      else cue.endTime = Math.min(cue.endTime, from)
    }
  }

  show(from, until, said) {
    if (from === null || until <= from || !said) return
    const text = said.replace(/[&<]/g, (sign) => (sign === '<' ? '&lt;' : '&amp;')) // a cue of WebVTT is markup
    if (this.cue?.text !== text) {
      if (this.cue) this.cue.endTime = Math.min(this.cue.endTime, from)
      this.cue = new VTTCue(from, until, text)
      this.track.addCue(this.cue)
    }
    this.cue.endTime = this.cueUntil = until
    this.goesOn = true
  }

  forget() {
    const cues = this.track.cues ?? []
    while (cues.length && cues[0].endTime < this.video.currentTime - KEPT_S) this.track.removeCue(cues[0])
  }

  close() {
    this.listening.abort()
    this.element.remove()
  }
}
