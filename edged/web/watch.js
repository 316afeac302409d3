// watch.js - the watch page: waits for the stream, plays it, says what is going on.
//
//   waiting   not live (yet); asks /api/streams                      -> loading when it is on, ended when it was. ?session=ID: it plays
//                                                                       that recording, and goes live only when it is told to
//   loading   the player was given the manifest                      -> playing, or waiting after a fault
//   playing   pictures move (live, or a recording from the start)    -> stalled, ended, or waiting after a fault
//   stalled   the last picture stands still, and nobody stopped it   -> playing when it moves again; as playing otherwise
//   ended     offers the recording; goes live by itself when a new broadcast begins
//   error     cannot be helped by waiting: the browser, the address, a private stream
//
// ?t=90 or ?t=1m30s: it begins there, as far as that can be had. /embed/NAME is the same page, only the player of it (embed.js).
//
// window.freshet is for tests and curious people: { player, state, metrics() }. What is said beside the picture is told as events
// (cues.js).
import { Controls } from '/web/controls.js'
import { Cues, readPlaylist } from '/web/cues.js'
import { LowLatencyPlayer } from '/web/low_latency.js'
import { MediaKeys } from '/web/media_keys.js'
import { NativePlayer, supported as playsNatively } from '/web/native.js'
import { put, tell } from '/web/news.js'
import { Player, supported } from '/web/player.js'
import { recall, remember } from '/web/remembered.js'
import { Share, readTime } from '/web/share.js'
import { fetchList, fetchViewers, isOn, otherSites, prefix, server, sizeOf, startOf, titleOf, viewersText } from '/web/streams.js'

const WAIT_POLL_MS = 1000, PLAY_POLL_MS = 5000
const RETRY_MS = 1000
const ASK_FIRST_MS = 1000 // a picture that stands still may be the last one: the server is given so long to say so
const at = (id) => document.getElementById(id)
const stage = at('stage'), video = at('video')
const name = decodeURIComponent(location.pathname.slice(prefix.length).split('/')[2] || '')
const ASK_EVERY = 10 // polls, of a stream that is not in the list: whether it is private, or long over
const query = new URLSearchParams(location.search), given = query.get('session') || ''

// dash.js is ten times as large as all the rest: whoever plays without it has his picture first.
let Kind = null, dashRan = null
const runDash = () => dashRan ||= loadDash().then(() => {
  Kind = supported() ? Player : playsNatively() ? NativePlayer : null
  if (!Kind) enter('error', 'This browser cannot play the stream', 'It has no Media Source Extensions and does not play HLS. Any recent Chrome, Edge, Firefox or Safari has.')
})

// Where the connection broke it is asked for again: by another address, for browsers keep it in mind that a module did not come.
async function loadDash() {
  for (let tries = 0; ; tries++) {
    try {
      return await import(`/web/dash.js${tries ? `?${tries}` : ''}`)
    } catch (error) {
      if (!(error instanceof TypeError)) return null // it came, and does not run here
      if (state === 'waiting') enter('waiting', 'Connecting…', 'A part of this page has not come yet. It is asked for again.')
      await new Promise((done) => setTimeout(done, RETRY_MS * Math.min(10, 1 + tries)))
    }
  }
}

let state = 'waiting'
let stream = null   // the last that /api/streams said of it; null: nothing
let player = null
let session = ''    // of what is being played, or ended last
let wanted = /^[A-Za-z0-9-]{1,40}$/.test(given) ? given : '' // a recording that the address names
let beginAt = readTime(query.get('t')) // once; what is played after that begins as usual
let goOnAt = NaN    // where playing was interrupted, for whoever was not at the live edge
let interrupted = '' // the recording that was being played then
let pollTimer = 0
let unlisted = 0    // polls in a row that did not have the stream
let viewers = 0
let answers = true  // the server did when it was asked last

const cues = new Cues(video, at('said'), at('marks'))
const controls = new Controls(() => player, goLive, cues)
const mediaKeys = new MediaKeys(video, controls)
const share = new Share(() => ({ name, session: wanted, player }))

function enter(next, headline = '', detail = '', action = null) {
  state = next
  stage.dataset.state = next
  put(at('headline'), headline)
  showPoster(next)
  put(at('detail'), detail)
  showSave(next)
  at('spinner').hidden = next !== 'waiting' && next !== 'loading' && next !== 'stalled'
  at('action').hidden = !action
  put(at('action'), action ? action.text : '')
  at('action').onclick = action ? action.run : null
  if (headline) tell(`${headline.replace(/…$/, '')}. ${detail.replace(/ \(.*\)/, '')}`.trim(), headline)
  controls.refresh()
}

// A picture of the broadcast behind the words, and until the first one moves. Where there is none nobody sees that.
function showPoster(of) {
  const poster = at('poster'), wants = (of === 'loading' || of === 'ended') && !video.videoWidth
  if (wants && !poster.getAttribute('src')) poster.src = `${prefix}/live/${name}/${of === 'ended' && session ? `${session}/` : ''}poster.jpg`
  poster.hidden = of === 'error' || of === 'playing' || of === 'stalled'
}
at('poster').onerror = () => at('poster').removeAttribute('src')

// What is over is a file too.
function showSave(of) {
  const isOver = Boolean(session) && (of === 'ended' || Boolean(player && !player.live && of !== 'error' && of !== 'waiting'))
  at('save').hidden = !isOver
  if (isOver) at('save').href = `${server}${prefix}/live/${name}/${session}/recording.mp4`
}

// ---- playing

function closePlayer() {
  segmentsWanted = null
  if (player) player.close()
  player = null
}

// make(events): the player
function play(make, live, from) {
  closePlayer()
  cues.clear()
  session = from
  enter('loading', live ? 'Connecting…' : 'Loading the recording…')
  const mine = make({
    started: () => mine === player && state === 'loading' && plays(),
    stands: () => mine === player && stands(),
    moves: () => mine === player && state === 'stalled' && plays(),
    rungs: () => mine === player && controls.rungs(),
    rung: () => mine === player && controls.rung(),
    ended: () => mine === player && over(),
    failed: (kind, text) => mine === player && failed(kind, text),
    away: (seconds) => mine === player && leaveNear(seconds),
    captions: () => Boolean(stream?.captions),
    cue: (cue) => mine === player && cues.add(cue),
  })
  player = mine
  if (!live) at('live-text').textContent = stream && isOn(stream) ? 'Watch live' : 'Recording'
}

function plays() {
  runDash() // whoever goes back needs it
  enter('playing')
  tell('It plays.')
  if (!player.live) markCues(player, session)
}

// Where in a recording something was said, before the viewer comes there.
async function markCues(mine, of) {
  const track = mine.track?.()
  if (!track || !of || mine.marked) return
  mine.marked = true
  try {
    const answer = await fetch(`${server}${prefix}/live/${name}/${of}/${track}/classic.m3u8`, { signal: AbortSignal.timeout(8000) })
    const text = answer.ok ? await answer.text() : ''
    if (mine === player) for (const cue of readPlaylist(text, mine.shift)) cues.add(cue)
  } catch {
    // they come with the segments
  }
}

// Of a live stream that was ended this was the last picture, which is no fault: hasEnded() asks.
async function stands() {
  const mine = player
  const later = new Promise((done) => setTimeout(done, ASK_FIRST_MS, false))
  if (mine.live && await Promise.race([hasEnded(), later])) {
    if (mine === player) over()
  } else if (mine === player && state === 'playing' && mine.stands) {
    tellStall()
    schedule(0)
  }
}

function tellStall() {
  enter('stalled', 'The picture stands still', answers ? 'Nothing more has come so far. It goes on here by itself when something does.'
    : 'The server does not answer. It goes on here by itself when it does.')
}

// What is to be played when dash.js has come, if nothing else is wanted by then.
let segmentsWanted = null

function playSegments(base, live, from) {
  if (!Kind) {
    const mine = segmentsWanted = () => playSegments(base, live, from)
    runDash().then(() => Kind && mine === segmentsWanted && mine())
    return
  }
  const begin = Number.isNaN(goOnAt) ? beginAt : goOnAt
  beginAt = goOnAt = NaN
  play((events) => new Kind(video, base, live, events, begin), live, from)
}

const playRecording = (of) => playSegments(`${server}${prefix}/live/${name}/${of}`, false, of)

// ---- low latency: as near as can be, for who wants it and is at the live edge

let Near = null       // the player of it, where there is one
let wantsNear = false
let notNearUntil = 0  // it did not go well
const NOT_NEAR_MS = 60000

const playsNear = () => Boolean(Near && wantsNear && stream && isOn(stream) && stream.tracks?.length && Number.isNaN(beginAt) && performance.now() >= notNearUntil)

const playsWithoutDash = () => Boolean(Near && wantsNear && !wanted)

function playLive() {
  if (playsNear()) play((events) => new LowLatencyPlayer(Near, video, `${server}${prefix}/live/${name}/${stream.session}/`, stream, events), true, stream.session)
  else playSegments(`${server}${prefix}/live/${name}`, true, stream ? stream.session : '')
}

// seconds: where it goes on with segments; NaN: at the live edge, with whatever is wanted there
function leaveNear(seconds) {
  beginAt = seconds
  playLive()
}

async function loadNear() {
  try {
    const { TailPlayer, tailSupported } = await import('/web/tail.js')
    if (tailSupported()) Near = TailPlayer
  } catch {
    // this site has none
  }
  at('near').hidden = !Near
}

function wantNear(wants) {
  wantsNear = wants
  notNearUntil = 0
  at('near').setAttribute('aria-pressed', String(wants))
}

at('near').onclick = () => {
  wantNear(!wantsNear)
  remember('near', wantsNear)
  if (player && player.live) playLive()
}

function goLive() {
  wanted = interrupted = ''
  goOnAt = NaN
  if (player && player.live && playsNear() && !(player instanceof LowLatencyPlayer)) playLive()
  else if (player && player.live) player.toLive()
  else if (stream && isOn(stream)) playLive()
}

function over() {
  const of = session || (stream && stream.session)
  goOnAt = NaN
  interrupted = ''
  closePlayer()
  enter('ended', 'The broadcast has ended', wanted ? '' : 'If it begins again, it goes on here by itself.',
    of ? { text: 'Play from the start', run: () => playRecording(of) } : null)
  schedule(WAIT_POLL_MS)
}

const ELSEWHERE_MS = 10000 // for so long a player that has other sites is left to try them

// The last segment that a live player asks for is one that never comes: when the broadcast has been ended, that is no fault.
// What is there already is still seen.
const overWhenSeen = (mine) => setTimeout(() => mine === player && over(), 1000 * mine.metrics().buffer)

const isAnother = () => Boolean(stream) && !(isOn(stream) && stream.session === session)

async function hasEnded() {
  try {
    await ask()
    return isAnother()
  } catch {
    return false
  }
}

// kind: away, for who plays segments it may go better; minor, which a player lives with by itself; loading, something was not to be had from one site; hopeless, the browser cannot
// play what there is; fault, anything else
async function failed(kind, text, triedElsewhere = false) {
  const mine = player
  if (kind === 'minor' || mine.failed) return
  if (kind === 'away') {
    notNearUntil = performance.now() + NOT_NEAR_MS
    playLive()
    return
  }
  if (kind === 'loading' && mine.otherSites().length && !triedElsewhere) {
    setTimeout(() => mine === player && mine.stands && failed(kind, text, true), ELSEWHERE_MS)
    return
  }
  mine.failed = true
  if (mine.live && kind !== 'hopeless' && await hasEnded()) {
    overWhenSeen(mine)
    return
  }
  if (mine !== player) return
  keepPlace(mine)
  closePlayer()
  unlisted = 0 // a token that has run out is no fault of the player's: the server is asked
  if (kind === 'hopeless')
    enter('error', 'This browser cannot play the stream', `It does not decode what the stream is made of (${text}).`,
      { text: 'Try again', run: again })
  else
    enter('waiting', 'Playing was interrupted', `Trying again (${text}).`)
  schedule(RETRY_MS)
}

let stoodAt = NaN // where playing was interrupted last
const FURTHER_S = 2

// Who went back, or plays a recording, is to find himself where he was. Where it was interrupted before it goes on a little further: perhaps what
// is there cannot be decoded.
function keepPlace(mine) {
  const at = mine.place?.() ?? NaN
  goOnAt = Math.abs(at - stoodAt) < 1 && mine.firstFrameMs !== null ? at + FURTHER_S : at
  stoodAt = at
  interrupted = mine.live ? '' : session
}

function again() {
  unlisted = 0
  enter('waiting', 'Connecting…')
  poll()
}

// ---- what the server says

async function ask() {
  if (player && player.otherSites().length) otherSites(player.otherSites())
  fetchViewers().then((counts) => { viewers = counts.get(name) || 0 }) // the picture does not wait for that
  try {
    stream = (await fetchList()).entries.find((s) => s.id === name) || null
    answers = true
  } catch (error) {
    answers = false
    throw error
  }
}

function describe() {
  put(at('title'), stream ? titleOf(stream) : name)
  const started = stream && startOf(stream)
  put(at('facts'), stream && (!wanted || wanted === stream.session) ? [isOn(stream) && viewersText(viewers), sizeOf(stream), started && `since ${started.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}`]
    .filter(Boolean).join(' · ') : '')
  put(document.querySelector('title'), `${at('title').textContent} – Freshet`)
  mediaKeys.describe(at('title').textContent, `${prefix}/live/${name}/poster.jpg`)
  describeSlate(Boolean(state === 'playing' && player && player.live && stream && stream.state === 'slate'))
}

function describeSlate(shown) {
  if (shown === !at('slate').hidden) return
  at('slate').hidden = !shown
  if (shown) tell(at('slate').textContent)
  else if (state === 'playing') tell('The broadcaster is back.')
}

// Private streams are not listed for who has no token for them. The manifest says which it is, and what is wrong with the token.
async function isRefused() {
  const answer = await fetch(`${server}${prefix}/live/${name}/manifest.mpd`, { cache: 'no-cache', signal: AbortSignal.timeout(8000) })
  if (answer.status !== 401 && answer.status !== 403) return false
  const { error } = await answer.json()
  enter('error', 'This stream is private', `The server says: ${error}.`, { text: 'Try again', run: again })
  return true
}

// The list has the newest recordings only. An older one is known by the manifest, which names its session.
async function isOver() {
  const answer = await fetch(`${server}${prefix}/live/${name}/manifest.mpd`, { cache: 'no-cache', signal: AbortSignal.timeout(8000) })
  const text = answer.ok ? await answer.text() : ''
  const of = /\btype="static"/.test(text) && text.match(/"(\d{8}T\d{6}Z-[0-9a-f]{8})\//)
  if (!of) return false
  session = of[1]
  over()
  return true
}

async function playWanted(of) {
  if (await isRefused()) return
  const answer = await fetch(`${server}${prefix}/live/${name}/${of}/manifest.mpd`, { method: 'HEAD', signal: AbortSignal.timeout(8000) })
  if (answer.status === 404)
    enter('error', 'There is no such recording', 'It may have been removed.', { text: 'Try again', run: again })
  else if (state === 'waiting')
    playRecording(of)
}

async function judge() {
  const on = stream && isOn(stream)
  unlisted = stream ? 0 : unlisted + 1
  if (state === 'waiting') {
    if (wanted || interrupted) await playWanted(wanted || interrupted)
    else if (on) playLive()
    else if (stream) {
      session = stream.session
      over()
    } else if (unlisted % ASK_EVERY !== 1 || !(await isRefused() || await isOver()))
      enter('waiting', 'Not live yet', 'It starts here by itself as soon as the broadcaster does.')
  } else if (state === 'ended' && on && stream.session !== session && !wanted)
    playLive()
  else if (state === 'stalled' && player.live && isAnother())
    over()
  else if (state === 'playing' && server && player.live && isAnother())
    overWhenSeen(player) // from a site that is gone dash.js has no manifest that says so
}

async function poll() {
  clearTimeout(pollTimer)
  try {
    await ask()
    await judge()
  } catch (error) {
    if (state === 'waiting')
      enter('waiting', 'The server cannot be reached', `Trying again (${error.message}).`)
  }
  if (state === 'stalled') tellStall()
  describe()
  schedule(state === 'playing' || state === 'loading' ? PLAY_POLL_MS : WAIT_POLL_MS)
}

function schedule(ms) {
  clearTimeout(pollTimer)
  pollTimer = setTimeout(poll, ms)
}

// Who was away is not left to wait for the next poll.
const back = () => (state === 'waiting' || state === 'stalled') && schedule(0)
window.addEventListener('online', back)
document.addEventListener('visibilitychange', () => !document.hidden && back())

window.freshet = {
  get player() { return player && (player.dash || player.tail) },
  get state() { return state },
  metrics: () => ({ state, session, cues: cues.list.length, cuesTold: cues.told, ...(player ? player.metrics() : {}) }),
}

document.querySelector('.brand').href = `${prefix}/`
share.link()
describe()
if (!/^[A-Za-z0-9_-]{1,64}$/.test(name))
  enter('error', 'There is no such stream', 'A stream name has 1 to 64 letters, digits, “_” and “-”.')
else {
  enter('waiting', 'Connecting…')
  wantNear(recall('near') === true)
  const loaded = loadNear()
  if (wantsNear) await loaded
  if (!playsWithoutDash()) await runDash()
  if (Kind || playsWithoutDash()) poll()
}
