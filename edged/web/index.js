// index.js - the list of streams, kept up to date, and below it recordings: the newest ones by themselves, older ones page by page. What is
// typed into the search box leaves those that have it in their name or title.
import { put, tell } from '/web/news.js'
import { forgetPoster, showPoster } from '/web/posters.js'
import { fetchList, fetchViewers, isOn, prefix, sinceText, sizeOf, startOf, titleOf, viewersText } from '/web/streams.js'

const REFRESH_MS = 3000
const EMPTY_PAGES_MAX = 20 // in a row that one click goes through: all on them may be private
const at = (id) => document.getElementById(id)

function element(tag, className, text) {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (text) made.textContent = text
  return made
}

const STATES = { live: 'Live', slate: 'Interrupted', ended: 'Ended' }

const keyOf = (stream) => `${stream.id}/${stream.session}`

function newCard() {
  const item = element('li'), link = element('a', 'card'), picture = element('span', 'card-picture'), image = element('img')
  image.alt = ''
  image.hidden = true
  picture.append(image, element('span', 'badge'))
  link.append(picture, element('strong', 'card-title'), element('span', 'card-facts dim'))
  item.append(link)
  return item
}

// A card stays the same element for as long as its stream is listed: one under the pointer or with the focus does not notice.
// Of a stream's recordings the address without a session plays the newest.
function fill(item, stream) {
  const title = titleOf(stream), started = startOf(stream), badge = item.querySelector('.badge'), isOld = older.has(keyOf(stream))
  item.dataset.stream = stream.id
  item.dataset.key = keyOf(stream)
  item.firstChild.href = `${prefix}/watch/${encodeURIComponent(stream.id)}${isOld ? `?session=${encodeURIComponent(stream.session)}` : ''}`
  badge.className = `badge ${stream.state}`
  put(badge, STATES[stream.state] || stream.state)
  put(item.querySelector('.card-title'), title)
  put(item.querySelector('.card-facts'), [title === stream.id ? '' : stream.id, isOn(stream) && viewersText(viewers.get(stream.id)), sizeOf(stream), started && `started ${sinceText(started)}`].filter(Boolean).join(' · '))
  showPoster(item.querySelector('img'), stream.id, isOn(stream) ? '' : stream.session)
  return item
}

function show(list, streams) {
  const old = new Map([...list.children].map((item) => [item.dataset.key, item]))
  const items = streams.map((stream) => fill(old.get(keyOf(stream)) || newCard(), stream))
  for (const item of old.values()) {
    if (items.includes(item)) continue
    forgetPoster(item.querySelector('img'))
    item.remove()
  }
  items.forEach((item, i) => { if (list.children[i] !== item) list.insertBefore(item, list.children[i] || null) })
}

const sought = () => at('search').value.trim().toLowerCase()
const isSought = (stream, words) => `${stream.id} ${titleOf(stream)}`.toLowerCase().includes(words)

let streams = []         // as they were told last
let viewers = new Map()  // of each
const older = new Map()  // recordings from pages, by key
let more = ''            // the page to ask for next; '': there is none
let paging = false       // from the first page on `more` is that page's, before that the list's
let live = null          // titles of what is on, by key, as they were told last; null: not yet

// What began and what ended is news; what was there already when the page was opened is not.
function tellChanges(on) {
  const now = new Map(on.map((stream) => [keyOf(stream), titleOf(stream)]))
  const words = []
  for (const [key, title] of now) if (live && !live.has(key)) words.push(`${title} is live now.`)
  for (const [key, title] of live || []) if (!now.has(key)) words.push(`${title} has ended.`)
  live = now
  if (words.length) tell(words.join(' '))
}

function sayUnfound(text) {
  put(at('unfound'), text)
  at('unfound').hidden = !text
  if (text) tell(text)
}

function render() {
  const newestFirst = [...streams].sort((a, b) => (startOf(b) || 0) - (startOf(a) || 0))
  const on = newestFirst.filter(isOn)
  for (const stream of streams) older.delete(keyOf(stream))
  const over = [...newestFirst.filter((s) => !isOn(s)), ...older.values()].sort((a, b) => (startOf(b) || 0) - (startOf(a) || 0))
  const focused = document.activeElement
  const words = sought(), found = [on, over].map((all) => all.filter((stream) => isSought(stream, words)))
  show(at('streams'), found[0])
  show(at('ended'), found[1])
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus() // its card has moved
  tellChanges(on)
  at('empty').hidden = on.length > 0 || Boolean(words)
  at('past').hidden = found[1].length === 0 && !more
  sayUnfound(words && !found.flat().length ? `Nothing here is called “${at('search').value.trim()}”.${more ? ' There are older recordings.' : ''}` : '')
  at('more').hidden = !more
}

function say(text) {
  put(at('notice'), text)
  at('notice').hidden = !text
  if (text) tell(text, text.replace(/\(.*\)/, ''))
}

let olderFailed = '' // said until they can be read, though the list itself is read again meanwhile

async function refresh() {
  try {
    const [list, counts] = await Promise.all([fetchList(), fetchViewers()])
    viewers = counts
    streams = list.entries
    if (!paging) more = list.next
    render()
    say(olderFailed)
  } catch (error) {
    say(`The list cannot be read right now (${error.message}). Trying again.`)
  }
  setTimeout(refresh, document.hidden ? 4 * REFRESH_MS : REFRESH_MS)
}

// What the list of streams tells already is on the first page again.
async function showMore() {
  const told = new Set(streams.map(keyOf))
  at('more').disabled = true
  try {
    for (let found = 0, pages = 0; !found && more && pages < EMPTY_PAGES_MAX; pages++) {
      const page = await fetchList(more)
      paging = true
      more = page.next
      for (const one of page.entries.filter((r) => !told.has(keyOf(r)) && !older.has(keyOf(r)))) {
        older.set(keyOf(one), one)
        found++
      }
    }
    olderFailed = ''
  } catch (error) {
    olderFailed = `Older recordings cannot be read right now (${error.message}).`
  }
  say(olderFailed)
  at('more').disabled = false
  render()
}

at('more').onclick = showMore
at('search').oninput = render
document.addEventListener('keydown', (e) => {
  if (e.key !== '/' || e.ctrlKey || e.altKey || e.metaKey || e.target.tagName === 'INPUT') return
  e.preventDefault()
  at('search').focus()
})

const server = `rtmp://${location.hostname}:1935/live`
at('server').textContent = server
at('command').textContent = `ffmpeg -re -i film.mp4 -c:v libx264 -preset veryfast -g 60 -c:a aac -f flv ${server}/cam`
refresh()
