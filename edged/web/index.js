// index.js - the list of streams, kept up to date.
import { fetchStreams, isOn, prefix, sinceText, sizeOf, startOf, titleOf } from '/web/streams.js'

const REFRESH_MS = 3000
const at = (id) => document.getElementById(id)

function element(tag, className, text) {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (text) made.textContent = text
  return made
}

function stateBadge(stream) {
  const words = { live: 'Live', slate: 'Interrupted', ended: 'Ended' }
  return element('span', `badge ${stream.state}`, words[stream.state] || stream.state)
}

function card(stream) {
  const link = element('a', 'card')
  link.href = `${prefix}/watch/${encodeURIComponent(stream.id)}`
  const head = element('span', 'card-head')
  head.append(element('strong', '', titleOf(stream)), stateBadge(stream))
  link.append(head)
  const facts = [titleOf(stream) === stream.id ? '' : stream.id, sizeOf(stream)]
  const started = startOf(stream)
  if (started) facts.push(`started ${sinceText(started)}`)
  link.append(element('span', 'dim', facts.filter(Boolean).join(' · ')))
  const item = element('li')
  item.dataset.stream = stream.id
  item.append(link)
  return item
}

// Only what changed is replaced, so that a card under the pointer or with the focus stays what it is.
function show(list, streams) {
  const old = new Map([...list.children].map((item) => [item.dataset.stream, item]))
  list.replaceChildren(...streams.map((stream) => {
    const fresh = card(stream)
    const kept = old.get(stream.id)
    return kept && kept.innerHTML === fresh.innerHTML ? kept : fresh
  }))
}

function render(streams) {
  const newestFirst = [...streams].sort((a, b) => (startOf(b) || 0) - (startOf(a) || 0))
  const on = newestFirst.filter(isOn), over = newestFirst.filter((s) => !isOn(s))
  const focused = document.activeElement
  show(at('streams'), on)
  show(at('ended'), over)
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus()
  at('empty').hidden = on.length > 0
  at('past').hidden = over.length === 0
}

function say(text) {
  at('notice').textContent = text
  at('notice').hidden = !text
}

async function refresh() {
  try {
    render(await fetchStreams())
    say('')
  } catch (error) {
    say(`The list cannot be read right now (${error.message}). Trying again.`)
  }
  setTimeout(refresh, document.hidden ? 4 * REFRESH_MS : REFRESH_MS)
}

const server = `rtmp://${location.hostname}:1935/live`
at('server').textContent = server
at('command').textContent = `ffmpeg -re -i film.mp4 -c:v libx264 -preset veryfast -g 60 -c:a aac -f flv ${server}/cam`
refresh()
