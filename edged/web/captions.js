// captions.js - closed captions on the picture at the live edge, for who wants them: what reads them comes only then (caption_reader.js).
export class Captions {
  // failed(): the reader did not come
  constructor(video, failed) {
    Object.assign(this, { video, failed, shown: false, reader: null })
  }

  async show(shown) {
    if (shown === this.shown) return
    this.shown = shown
    this.reader?.close()
    this.reader = null
    if (!shown) return
    try {
      const { CaptionReader } = await import('/web/caption_reader.js')
      if (this.shown) this.reader ??= new CaptionReader(this.video)
    } catch {
      if (this.shown) this.failed()
    }
  }

  // A chunk of pictures, or several, of `scale` ticks a second.
  add(bytes, scale) { this.reader?.add(bytes, scale) }
}
