// posters.js - the pictures of cards: of each stream that is live the newest one, of recordings theirs, loaded when in sight and before they
// are shown. Where there is none the card keeps the sign that it has without one.
import { prefix } from '/web/streams.js'

const FRESH_MS = 10000, RETRY_MS = 60000

const inSight = new Set()
const watcher = new IntersectionObserver((changes) => { // of the places: an image that is not there yet has none
  for (const { target: { firstChild: image }, isIntersecting } of changes) {
    if (isIntersecting) inSight.add(image)
    else inSight.delete(image)
    if (isIntersecting) load(image)
  }
}, { rootMargin: '200px' })

async function load(image) {
  const now = Date.now(), poster = image.poster
  if (document.hidden || !image.isConnected || now < poster.dueMs) return
  poster.dueMs = now + FRESH_MS
  const next = new Image()
  next.src = `${prefix}/live/${poster.of}/poster.jpg${poster.live ? `?${Math.floor(now / FRESH_MS)}` : ''}`
  try {
    await next.decode()
    image.src = next.src
    image.hidden = false
    if (!poster.live) poster.dueMs = Infinity
  } catch {
    poster.dueMs = now + RETRY_MS
  }
}

// image: the first child of the place that it fills. session: '' while it is live, when it is asked for again every FRESH_MS
export function showPoster(image, stream, session) {
  const of = [stream, session].filter(Boolean).map(encodeURIComponent).join('/')
  if (image.poster?.of === of) return
  image.poster = { of, live: !session, dueMs: 0 }
  watcher.observe(image.parentElement)
}

export function forgetPoster(image) {
  watcher.unobserve(image.parentElement)
  inSight.delete(image)
}

setInterval(() => { for (const image of inSight) load(image) }, 1000)
