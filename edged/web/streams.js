// streams.js - what /api/streams and /api/recordings say, in the words both pages use.

// "/t/<token>" where the page was opened with a token, otherwise "": what it asks for and links to begins with the same.
export const prefix = (location.pathname.match(/^\/t\/[^/]+/) || [''])[0]

// Where lists and manifests come from: '' is the page's own site, anything else the address of another one, while that does not answer.
export let server = ''
let others = []
export function otherSites(addresses) {
  others = addresses
}

const LIST = '/api/streams'

// The list, asked for before anybody wants it: the first who does has that answer, and who asks again wants to know what is so then. Where somebody
// had it before, it is too late for that.
let early = null, wasAsked = false
export function askEarly() {
  if (wasAsked) return Promise.reject(new Error('the page has the list'))
  early = fetch(prefix + LIST, { cache: 'no-cache', signal: AbortSignal.timeout(8000) })
  return early.then((answer) => answer.clone())
}

function takeEarly() {
  const taken = early
  wasAsked = true
  early = null
  return taken
}

// The page's own site is asked first, each time: it may be back.
async function fetchAnywhere(path) {
  for (const one of ['', ...others]) {
    try {
      const answer = await (!one && path === LIST && takeEarly() || fetch(one + prefix + path, { cache: 'no-cache', signal: AbortSignal.timeout(others.length ? 3000 : 8000) }))
      server = one
      return answer
    } catch (error) {
      if (one === (others.at(-1) || '')) throw error
    }
  }
}

// path: /api/streams, or what an answer before named as the next one: '' when there is none. While nothing has changed the server answers
// 304, and the browser has the rest.
export async function fetchList(path = LIST) {
  const answer = await fetchAnywhere(path)
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`)
  const body = await answer.json(), entries = body.streams || body.recordings
  return { entries: Array.isArray(entries) ? entries : [], next: typeof body.next === 'string' ? body.next : '' }
}

let tellsViewers = true // as far as is known: few edges do

// How many watch each stream, by its name; empty where that is not told.
export async function fetchViewers() {
  if (!tellsViewers) return new Map()
  try {
    const answer = await fetch(`${prefix}/api/viewers`, { cache: 'no-store', signal: AbortSignal.timeout(8000) })
    if (answer.status === 404) tellsViewers = false
    return new Map(answer.ok ? (await answer.json()).viewers.map((v) => [v.id, v.count]) : [])
  } catch {
    return new Map()
  }
}

export const viewersText = (count) => count ? `${count.toLocaleString()} watching` : ''

export const isOn = (stream) => stream.state === 'live' || stream.state === 'slate'

export const titleOf = (stream) => stream.title || stream.id

// The largest picture it comes in: "1280 × 720"; "audio only" when there is none.
export function sizeOf(stream) {
  const pictures = (stream.tracks || []).filter((t) => t.height > 0)
  if (!pictures.length) return (stream.tracks || []).length ? 'audio only' : ''
  const top = pictures.reduce((a, b) => (b.height > a.height ? b : a))
  return `${top.width} × ${top.height}`
}

// started is an ISO date or seconds or milliseconds since 1970; null when it is neither.
export function startOf(stream) {
  const raw = typeof stream.started === 'number' && stream.started < 1e11 ? stream.started * 1000 : stream.started
  const date = new Date(raw)
  return Number.isNaN(date.getTime()) ? null : date
}

export function sinceText(date, now = Date.now()) {
  const minutes = Math.floor((now - date.getTime()) / 60000)
  if (minutes < 1) return 'just now'
  if (minutes < 60) return `${minutes} min ago`
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min ago`
  return `on ${date.toLocaleDateString()}`
}
