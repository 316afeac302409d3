// charts.js - small line charts as SVG. A chart is drawn anew with each look: a few hundred points cost nothing.

const NS = 'http://www.w3.org/2000/svg'
const LEFT = 52, RIGHT = 8, TOP = 8, BOTTOM = 20
const GAP_FACTOR = 4 // points further apart than this many looks are not joined

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(NS, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...children)
  return made
}

// [[t, value or null], …] as path data; null is a gap
function pathOf(points, x, y, gapS) {
  let d = '', pen = false, last = 0
  for (const [t, v] of points) {
    if (v === null || v === undefined) { pen = false; continue }
    if (pen && t - last > gapS) pen = false
    d += `${pen ? 'L' : 'M'}${x(t).toFixed(1)} ${y(v).toFixed(1)}`
    pen = true
    last = t
  }
  return d
}

export function spark(box, points) {
  const known = points.filter(([, v]) => v !== null && v !== undefined)
  if (known.length < 2) { box.replaceChildren(); return }
  const t0 = known[0][0], t1 = known[known.length - 1][0]
  const most = Math.max(...known.map(([, v]) => v)), least = Math.min(0, ...known.map(([, v]) => v))
  const x = (t) => 100 * (t - t0) / (t1 - t0 || 1), y = (v) => 36 - 32 * (v - least) / (most - least || 1)
  const line = pathOf(known, x, y, Infinity)
  box.replaceChildren(svg('svg', { viewBox: '0 0 100 38', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('path', { class: 'area', d: `${line}L100 38L0 38Z` }), svg('path', { d: line })))
}

// A round number at or above v, of which a half is round too.
function roundUp(v) {
  if (v <= 0) return 1
  const unit = 10 ** Math.floor(Math.log10(v))
  return [1, 2, 4, 6, 8, 10].map((n) => n * unit).find((n) => n >= v * 0.999)
}

export class Chart {
  // format(value) → text of the axis; most: the top, if it is always the same
  constructor(box, format, { most = null } = {}) {
    this.box = box
    this.format = format
    this.most = most
    this.series = []
    this.legend = document.createElement('p')
    this.legend.className = 'legend'
    box.after(this.legend)
    this.at = null // the time under the pointer
    box.addEventListener('pointermove', (e) => { this.at = e.clientX - box.getBoundingClientRect().left; this.draw() })
    box.addEventListener('pointerleave', () => { this.at = null; this.draw() })
    new ResizeObserver(() => this.draw()).observe(box)
  }

  // series: [{name, points: [[t, v], …], colour: 0…5}]
  show(series, everyS) {
    this.series = series
    this.gapS = everyS * GAP_FACTOR
    this.draw()
  }

  draw() {
    const w = this.box.clientWidth, h = this.box.clientHeight
    const all = this.series.flatMap((s) => s.points).filter(([, v]) => v !== null && v !== undefined)
    if (w < 80 || !all.length) {
      this.box.replaceChildren(svg('svg', {}, svg('text', { x: LEFT, y: h / 2 }, 'nothing yet')))
      this.legend.replaceChildren()
      return
    }
    const t1 = Math.max(...all.map(([t]) => t)), t0 = Math.min(t1 - 60, ...all.map(([t]) => t))
    const most = this.most ?? roundUp(Math.max(...all.map(([, v]) => v)))
    const x = (t) => LEFT + (w - LEFT - RIGHT) * (t - t0) / (t1 - t0), y = (v) => h - BOTTOM - (h - TOP - BOTTOM) * v / most
    const parts = []
    for (const v of [0, most / 2, most]) {
      parts.push(svg('line', { class: 'grid', x1: LEFT, x2: w - RIGHT, y1: y(v), y2: y(v) }),
        svg('text', { x: LEFT - 8, y: y(v) + 4, 'text-anchor': 'end' }, this.format(v)))
    }
    parts.push(svg('text', { x: LEFT, y: h - 4 }, `${Math.max(1, Math.round((t1 - t0) / 60))} min ago`),
      svg('text', { x: w - RIGHT, y: h - 4, 'text-anchor': 'end' }, 'now'))
    for (const s of this.series) parts.push(svg('path', { class: `series c${s.colour}`, d: pathOf(s.points, x, y, this.gapS) }))
    let when = t1
    if (this.at !== null) {
      const pointed = t0 + (t1 - t0) * (this.at - LEFT) / (w - LEFT - RIGHT)
      when = all.reduce((best, [t]) => (Math.abs(t - pointed) < Math.abs(best - pointed) ? t : best), t1)
      parts.push(svg('line', { class: 'hair', x1: x(when), x2: x(when), y1: TOP, y2: h - BOTTOM }))
    }
    this.box.replaceChildren(svg('svg', { viewBox: `0 0 ${w} ${h}`, role: 'img', 'aria-label': this.series.map((s) => s.name).join(', ') }, ...parts))
    this.tell(when, this.at === null ? '' : new Date(1000 * when).toLocaleTimeString())
  }

  // The legend says the values at a time.
  tell(when, words) {
    this.legend.replaceChildren(...this.series.map((s) => {
      const item = document.createElement('span')
      const point = s.points.find(([t]) => t === when)
      item.className = `c${s.colour}`
      item.textContent = `${s.name} ${point && point[1] !== null && point[1] !== undefined ? this.format(point[1]) : '–'}`
      return item
    }))
    if (words) {
      const time = document.createElement('em')
      time.className = 'dim'
      time.textContent = words
      this.legend.append(time)
    }
  }
}
