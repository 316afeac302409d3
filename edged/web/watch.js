// watch.js - the watch page: waits for the stream, plays it, says what is going on.
//
//   waiting   not live (yet); asks /api/streams                      -> loading when it is on, ended when it was. ?session=ID: it plays
//                                                                       that recording, and goes live only when it is told to
//   loading   the player was given the manifest                      -> playing, or waiting after a fault
//   playing   pictures move (live, or a recording from the start)    -> ended, or waiting after a fault
//   ended     offers the recording; goes live by itself when a new broadcast begins
//   error     cannot be helped by waiting: the browser, the address, a private stream
//
// window.freshet is for tests and curious people: { player, state, metrics() }.
import { Controls } from '/web/controls.js'
import { Player, supported } from '/web/player.js'
import { fetchList, isOn, prefix, sizeOf, startOf, titleOf } from '/web/streams.js'

const WAIT_POLL_MS = 1000, PLAY_POLL_MS = 5000
const RETRY_MS = 1000
const at = (id) => document.getElementById(id)
const stage = at('stage'), video = at('video')
const name = decodeURIComponent(location.pathname.slice(prefix.length).split('/')[2] || '')
const ASK_EVERY = 10 // polls, of a stream that is not in the list: whether it is private, or long over
const given = new URLSearchParams(location.search).get('session') || ''

let state = 'waiting'
let stream = null   // the last that /api/streams said of it; null: nothing
let player = null
let session = ''    // of what is being played, or ended last
let wanted = /^[A-Za-z0-9-]{1,40}$/.test(given) ? given : '' // a recording that the address names
let pollTimer = 0
let unlisted = 0    // polls in a row that did not have the stream

const controls = new Controls(() => player, goLive)

function enter(next, headline = '', detail = '', action = null) {
  state = next
  stage.dataset.state = next
  at('headline').textContent = headline
  at('detail').textContent = detail
  at('spinner').hidden = next !== 'waiting' && next !== 'loading'
  at('action').hidden = !action
  at('action').textContent = action ? action.text : ''
  at('action').onclick = action ? action.run : null
  controls.refresh()
}

// ---- playing

function closePlayer() {
  if (player) player.close()
  player = null
}

function play(url, live, from) {
  closePlayer()
  session = from
  enter('loading', live ? 'Connecting…' : 'Loading the recording…')
  const mine = new Player(video, url, live, {
    started: () => mine === player && enter('playing'),
    rungs: () => mine === player && controls.rungs(),
    rung: () => mine === player && controls.rung(),
    ended: () => mine === player && over(),
    failed: (code, text) => mine === player && failed(code, text),
  })
  player = mine
  if (!live) at('live-text').textContent = stream && isOn(stream) ? 'Watch live' : 'Recording'
}

const playLive = () => play(`${prefix}/live/${name}/manifest.mpd`, true, stream ? stream.session : '')
const playRecording = (of) => play(`${prefix}/live/${name}/${of}/manifest.mpd`, false, of)

function goLive() {
  wanted = ''
  if (player && player.live) player.toLive()
  else if (stream && isOn(stream)) playLive()
}

function over() {
  const of = session || (stream && stream.session)
  closePlayer()
  enter('ended', 'The broadcast has ended', wanted ? '' : 'If it begins again, it goes on here by itself.',
    of ? { text: 'Play from the start', run: () => playRecording(of) } : null)
  schedule(WAIT_POLL_MS)
}

// dash.js numbers its faults (dashjs.MediaPlayer.errors). What it lives with by itself is none for the page:
const MINOR = new Set([12, 16, 29, 33]) // xlink, time source, text tracks
const HOPELESS = new Set([23, 32, 35])  // no media source, nothing in the manifest that the browser can decode

// The last segment that a live player asks for is one that never comes: when the broadcast has been ended, that is no fault.
async function hasEnded() {
  try {
    stream = (await fetchList()).entries.find((s) => s.id === name) || null
    return Boolean(stream) && !(isOn(stream) && stream.session === session)
  } catch {
    return false
  }
}

async function failed(code, text) {
  const mine = player
  if (MINOR.has(code) || mine.failed) return
  mine.failed = true
  if (mine.live && !HOPELESS.has(code) && await hasEnded()) {
    setTimeout(() => mine === player && over(), 1000 * mine.metrics().buffer) // what is there already is still seen
    return
  }
  if (mine !== player) return
  closePlayer()
  unlisted = 0 // a token that has run out is no fault of the player's: the server is asked
  if (HOPELESS.has(code))
    enter('error', 'This browser cannot play the stream', `It does not decode what the stream is made of (${text}).`,
      { text: 'Try again', run: again })
  else
    enter('waiting', 'Playing was interrupted', `Trying again (${text}).`)
  schedule(RETRY_MS)
}

function again() {
  unlisted = 0
  enter('waiting', 'Connecting…')
  poll()
}

// ---- what the server says

function describe() {
  at('title').textContent = stream ? titleOf(stream) : name
  const started = stream && startOf(stream)
  at('facts').textContent = stream && (!wanted || wanted === stream.session) ? [sizeOf(stream), started && `since ${started.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}`]
    .filter(Boolean).join(' · ') : ''
  document.title = `${at('title').textContent} – Freshet`
  at('slate').hidden = !(state === 'playing' && player && player.live && stream && stream.state === 'slate')
}

// Private streams are not listed for who has no token for them. The manifest says which it is, and what is wrong with the token.
async function isRefused() {
  const answer = await fetch(`${prefix}/live/${name}/manifest.mpd`, { cache: 'no-cache', signal: AbortSignal.timeout(8000) })
  if (answer.status !== 401 && answer.status !== 403) return false
  const { error } = await answer.json()
  enter('error', 'This stream is private', `The server says: ${error}.`, { text: 'Try again', run: again })
  return true
}

// The list has the newest recordings only. An older one is known by the manifest, which names its session.
async function isOver() {
  const answer = await fetch(`${prefix}/live/${name}/manifest.mpd`, { cache: 'no-cache', signal: AbortSignal.timeout(8000) })
  const text = answer.ok ? await answer.text() : ''
  const of = /\btype="static"/.test(text) && text.match(/"(\d{8}T\d{6}Z-[0-9a-f]{8})\//)
  if (!of) return false
  session = of[1]
  over()
  return true
}

async function playWanted() {
  if (await isRefused()) return
  const answer = await fetch(`${prefix}/live/${name}/${wanted}/manifest.mpd`, { method: 'HEAD', signal: AbortSignal.timeout(8000) })
  if (answer.status === 404)
    enter('error', 'There is no such recording', 'It may have been removed.', { text: 'Try again', run: again })
  else if (state === 'waiting')
    playRecording(wanted)
}

async function judge() {
  const on = stream && isOn(stream)
  unlisted = stream ? 0 : unlisted + 1
  if (state === 'waiting') {
    if (wanted) await playWanted()
    else if (on) playLive()
    else if (stream) {
      session = stream.session
      over()
    } else if (unlisted % ASK_EVERY !== 1 || !(await isRefused() || await isOver()))
      enter('waiting', 'Not live yet', 'It starts here by itself as soon as the broadcaster does.')
  } else if (state === 'ended' && on && stream.session !== session && !wanted)
    playLive()
}

async function poll() {
  clearTimeout(pollTimer)
  try {
    stream = (await fetchList()).entries.find((s) => s.id === name) || null
    await judge()
  } catch (error) {
    if (state === 'waiting')
      enter('waiting', 'The server cannot be reached', `Trying again (${error.message}).`)
  }
  describe()
  schedule(state === 'playing' || state === 'loading' ? PLAY_POLL_MS : WAIT_POLL_MS)
}

function schedule(ms) {
  clearTimeout(pollTimer)
  pollTimer = setTimeout(poll, ms)
}

window.freshet = {
  get player() { return player && player.dash },
  get state() { return state },
  metrics: () => ({ state, session, ...(player ? player.metrics() : {}) }),
}

document.querySelector('.brand').href = `${prefix}/`
describe()
if (!/^[A-Za-z0-9_-]{1,64}$/.test(name))
  enter('error', 'There is no such stream', 'A stream name has 1 to 64 letters, digits, “_” and “-”.')
else if (!supported())
  enter('error', 'This browser cannot play the stream', 'It has no Media Source Extensions. Any recent Chrome, Edge, Firefox or Safari has.')
else {
  enter('waiting', 'Connecting…')
  poll()
}
