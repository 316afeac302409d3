// app.js - asks the tool for its picture again and again, and shows it.
import { Chart, spark } from './charts.js'
import { Wall } from './streams.js'
import { bits, count, doing, duration, millis, percent, size, talksTo } from './words.js'

const $ = (id) => document.getElementById(id)
const wall = new Wall($('streams'))
const charts = {
  latency: new Chart($('chart-latency'), (v) => millis(v)),
  viewers: new Chart($('chart-viewers'), (v) => String(Math.round(v))),
  requests: new Chart($('chart-requests'), (v) => (v >= 10 || Number.isInteger(v) ? String(Math.round(v)) : v.toFixed(1))),
  headroom: new Chart($('chart-headroom'), (v) => percent(v), { most: 1 }),
  disk: new Chart($('chart-disk'), size),
}
let shownAt = 0, everyS = 2

function element(name, className, text = '') {
  const made = document.createElement(name)
  if (className) made.className = className
  made.textContent = text
  return made
}

let problemsShown = ''

// Drawn anew only when it is others: screen readers read what changes.
function showProblems(picture) {
  const text = JSON.stringify([picture.alerts_from, picture.problems])
  if (text === problemsShown) return
  problemsShown = text
  $('problems-from').textContent = picture.alerts_from === 'prometheus' ? 'by Prometheus' : 'as far as this tool sees'
  const rows = picture.problems.map((p) => {
    const row = element('li', p.severity)
    const what = element('span', 'what')
    if (p.node) what.append(element('b', '', p.node))
    what.append(p.text)
    const name = element('code', '', p.alert)
    name.title = p.alert ? `docs/operations.md, ${p.alert}` : ''
    row.append(element('span', 'severity', p.severity), what, name)
    return row
  })
  $('problem-list').replaceChildren(...(rows.length ? rows : [element('li', 'none', 'Nothing.')]))
}

function tile(id, value, sub, points, mood = '') {
  const box = $(`tile-${id}`)
  box.className = `tile ${mood}`
  box.querySelector('.value').textContent = value
  box.querySelector('.sub').textContent = sub
  spark(box.querySelector('.spark'), points)
}

function least(values) {
  const known = Object.values(values).filter((v) => v !== null)
  return known.length ? Math.min(...known) : null
}

function showTiles(picture) {
  const { totals: t, latency, points, nodes } = picture
  const line = (key) => points.map((p) => [p.t, p[key]])
  const tight = nodes.filter((n) => n.numbers.headroom !== undefined && n.numbers.headroom === t.headroom).map((n) => n.id)
  const first = points[0], spanS = points.length > 1 ? points[points.length - 1].t - first.t : 0
  const failed = Math.max(0, t.failovers - (first ? first.failovers : t.failovers))
  const edge = latency.edge
  tile('viewers', String(t.viewers), `${t.requests_s} requests a second`, line('viewers'))
  tile('latency', millis(edge.p95), edge.count ? `median ${millis(edge.p50)}` : 'nobody is at the live edge', line('edge95'), edge.p95 > 1 ? 'bad' : edge.p95 > 0.6 ? 'warn' : '')
  tile('headroom', percent(t.headroom), tight.length ? `least: ${tight.join(', ')}` : 'no transcoder answers', points.map((p) => [p.t, least(p.headroom)]),
    t.headroom !== null && t.headroom < 0.1 ? 'bad' : t.headroom !== null && t.headroom < 0.25 ? 'warn' : '')
  tile('disk', t.full_in_s === null ? 'never' : duration(t.full_in_s), t.free_bytes === null ? 'no origin answers' : `${size(t.free_bytes)} free, if nothing is removed`,
    points.map((p) => [p.t, least(p.free)]), t.full_in_s !== null && t.full_in_s < 6 * 3600 ? 'bad' : t.full_in_s !== null && t.full_in_s < 24 * 3600 ? 'warn' : '')
  tile('hits', percent(t.hit_ratio, 1), `${t.joined_s}/s joined a fetch · ${t.errors_s}/s failed`, line('hits'), t.errors_s > 0 ? 'bad' : '')
  tile('failovers', String(failed), spanS > 60 ? `in the last ${duration(spanS)}` : 'since this was opened', line('failovers'), failed > 3 ? 'warn' : '')
}

function showHops(latency) {
  const widest = Math.max(0.5, ...Object.values(latency).map((q) => q.p95 ?? 0))
  const rows = [['encoded', 'encoded'], ['stored', 'stored'], ['edge', 'at the edge']].map(([key, words]) => {
    const q = latency[key]
    const row = element('div', 'hop'), track = element('div', 'track'), bar = element('div', `bar ${key}`), number = element('div', 'number', millis(q.p50))
    bar.style.width = `${100 * (q.p50 ?? 0) / widest}%`
    track.append(bar)
    if (q.p95 !== null) {
      const mark = element('div', 'mark95')
      mark.style.left = `${100 * q.p95 / widest}%`
      mark.title = '95th percentile'
      track.append(mark)
      number.append(' ', element('span', 'dim', `95 %: ${millis(q.p95)}`))
    }
    row.append(element('div', '', words), track, number)
    return row
  })
  $('hops').replaceChildren(...rows)
}

function showCharts(points) {
  const line = (name, colour, value) => ({ name, colour, points: points.map((p) => [p.t, value(p)]) })
  const named = (key) => {
    const names = [...new Set(points.flatMap((p) => Object.keys(p[key])))].sort()
    return names.map((name, i) => line(name, i % 6, (p) => p[key][name] ?? null))
  }
  charts.latency.show([line('encoded', 2, (p) => p.encoded95), line('stored', 1, (p) => p.stored95), line('at the edge', 0, (p) => p.edge95)], everyS)
  charts.viewers.show([line('viewers', 0, (p) => p.viewers)], everyS)
  charts.requests.show([line('all', 0, (p) => p.requests), line('joined a fetch', 2, (p) => p.joined), line('failed', 3, (p) => p.errors)], everyS)
  charts.headroom.show(named('headroom'), everyS)
  charts.disk.show(named('free'), everyS)
}

function showNodes(nodes) {
  $('nodes').replaceChildren(...nodes.map((n) => {
    const row = element('tr')
    const name = element('th', '', n.id)
    name.scope = 'row'
    name.title = `${n.address}${n.version ? `, ${n.version}` : ''}${n.zone ? `, zone ${n.zone}` : ''}`
    row.append(name, element('td', 'dim', n.role || '?'), element('td', `state ${n.state.split(' ')[0]}`, n.state),
      element('td', '', n.uptime_s === null ? '' : duration(n.uptime_s)), element('td', 'does', n.why || doing(n)), element('td', 'dim', talksTo(n)))
    return row
  }))
}

function show(picture) {
  const t = picture.totals, worst = picture.problems[0]?.severity
  everyS = picture.every_s
  $('health').textContent = `${t.ready} of ${count(t.nodes, 'node')} ready · ${count(t.streams, 'stream')} · ${bits(t.bytes_in_s)} in`
  $('health').className = `pill ${worst === 'critical' ? 'bad' : worst === 'warning' ? 'warn' : 'good'}`
  $('stream-count').textContent = picture.streams.length || ''
  const known = picture.nodes.some((n) => n.role === 'originD' && Object.keys(n.numbers).length && !n.silent)
  showProblems(picture)
  showTiles(picture)
  wall.show(picture.streams, picture.watch, known ? 'No stream is live.' : 'Whether a stream is live cannot be told: no origin answers.')
  showHops(picture.latency)
  showCharts(picture.points)
  showNodes(picture.nodes)
  shownAt = Date.now()
}

function complain(text) {
  $('health').textContent = text
  $('health').className = 'pill bad'
}

async function look() {
  try {
    const answer = await fetch('picture', { signal: AbortSignal.timeout(8000) })
    const picture = await answer.json()
    if (picture.error) complain(picture.error)
    else show(picture)
  } catch {
    complain('`freshet dashboard` does not answer any more')
  }
  setTimeout(look, 1000 * everyS)
}

setInterval(() => {
  const ageS = shownAt ? Math.round((Date.now() - shownAt) / 1000) : 0
  const late = ageS > 3 * everyS + 2
  $('clock').textContent = late ? `as it was ${duration(ageS)} ago` : new Date().toLocaleTimeString()
  $('clock').className = late ? 'late' : 'dim'
  document.body.classList.toggle('old', late)
}, 500)

look()
