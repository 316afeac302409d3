// share.js - addresses to hand on: of the page, of a moment in it, and the frame for other pages. And the moment that an address names.
import { prefix } from '/web/streams.js'

const at = (id) => document.getElementById(id)

// "90", "90s", "1m30s", "1h2m3s": seconds; NaN for anything else.
export function readTime(text) {
  const found = /^(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,7}(?:\.\d{1,3})?)s?)?$/.exec(text || 'none')
  return found && text ? Number(found[1] || 0) * 3600 + Number(found[2] || 0) * 60 + Number(found[3] || 0) : NaN
}

// 0:05, 1:02:03
export function clockText(seconds) {
  const s = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, '0')
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`
}

export class Share {
  // current(): { name, session, player } of what is on the page; session: '' where the address names none
  constructor(current) {
    this.current = current
    at('share').onclick = () => this.open()
    at('share-at').onchange = () => this.write()
    for (const [button, field] of [['copy-link', 'share-link'], ['copy-frame', 'share-frame']])
      at(button).onclick = () => this.copy(at(button), at(field))
    at('share-dialog').addEventListener('click', (e) => { if (e.target === at('share-dialog')) at('share-dialog').close() })
  }

  address(page, begin) {
    const { name, session } = this.current(), query = new URLSearchParams()
    if (session) query.set('session', session)
    if (Number.isFinite(begin)) query.set('t', String(Math.floor(begin)))
    return `${location.origin}${prefix}/${page}/${name}${query.size ? `?${query}` : ''}`
  }

  // The way from a frame to the whole page.
  link() {
    at('out').href = this.address('watch')
  }

  open() {
    const { player } = this.current()
    this.moment = player ? player.video.currentTime : NaN
    at('share-at').checked = false
    at('share-at').parentElement.hidden = !Number.isFinite(this.moment)
    at('share-time').textContent = clockText(this.moment)
    at('share-secret').hidden = !prefix
    this.write()
    at('share-dialog').showModal()
  }

  write() {
    const begin = at('share-at').checked ? this.moment : NaN
    at('share-link').value = this.address('watch', begin)
    at('share-frame').value = `<iframe src="${this.address('embed', begin)}" width="640" height="360" style="border:0;max-width:100%" `
      + 'allow="autoplay; fullscreen; picture-in-picture" allowfullscreen></iframe>'
  }

  async copy(button, field) {
    field.select()
    try {
      await navigator.clipboard.writeText(field.value)
    } catch {
      document.execCommand('copy') // an address without TLS has no clipboard of its own
    }
    button.textContent = 'Copied'
    setTimeout(() => { button.textContent = 'Copy' }, 2000)
  }
}
