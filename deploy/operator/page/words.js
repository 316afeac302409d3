// words.js - numbers as people read them. The terminal's screen.py has the same words.

export const percent = (ratio, digits = 0) => (ratio === null || ratio === undefined ? '–' : `${(100 * ratio).toFixed(digits)} %`)

export function millis(s) {
  if (s === null || s === undefined) return '–'
  return s >= 10 ? `${s.toFixed(0)} s` : s >= 1 ? `${s.toFixed(2)} s` : `${Math.round(1000 * s)} ms`
}

export function scaled(n, units, step = 1000) {
  if (n === null || n === undefined) return '–'
  let i = 0
  for (; n >= step && i < units.length - 1; i++) n /= step
  return `${n >= 100 || i === 0 ? Math.round(n) : n.toFixed(1)} ${units[i]}`
}
export const size = (n) => scaled(n, ['B', 'kB', 'MB', 'GB', 'TB'])
export const bits = (bytes) => scaled(bytes === null || bytes === undefined ? bytes : 8 * bytes, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s'])
export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`

export function duration(s) {
  if (s === null || s === undefined) return '–'
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]
  const i = Math.max(0, units.findIndex(([n]) => s >= n))
  const [unit, name] = s < 1 ? units[3] : units[i]
  const whole = Math.floor(s / unit)
  const below = units[i + 1]
  const rest = below && s >= 1 ? Math.floor((s % unit) / below[0]) : 0
  return `${whole} ${name}${rest && whole < 10 ? ` ${rest} ${below[1]}` : ''}`
}

export function since(iso) {
  const t = Date.parse(iso)
  return Number.isNaN(t) ? '' : duration(Math.max(0, (Date.now() - t) / 1000))
}

export function doing(node) {
  const n = node.numbers
  if (!Object.keys(n).length) return ''
  if (node.role === 'ingestd') return `${count(n.publishers, 'publisher')}, ${bits(n.bytes_s)} in${n.standby ? `, ${n.standby} standing by` : ''}`
  if (node.role === 'transcoderd') {
    return `${count(n.sessions, 'session')}${n.shadows ? ` (${n.shadows} beside another)` : ''}, CPU ${percent(n.headroom === null ? null : 1 - n.headroom)}, ${n.behind_s.toFixed(1)} s behind`
  }
  if (node.role === 'originD') {
    return `${n.live} live, ${count(n.recordings, 'recording')}, ${size(n.free_bytes)} free${n.full_in_s === null ? '' : `, full in ${duration(n.full_in_s)}`}`
  }
  return `${count(n.viewers, 'viewer')}, ${n.requests_s ?? '–'}/s, hits ${percent(n.hit_ratio)}${n.errors_s ? `, ${n.errors_s}/s failed` : ''}`
}

export function talksTo(node) {
  const roles = ['ingestd', 'transcoderd', 'originD', 'edged']
  return roles.map((role) => {
    const all = node.peers.filter((p) => p.role === role)
    const up = all.filter((p) => p.state === 'live' || p.state === 'draining')
    const rtts = up.map((p) => p.rtt_ms).filter((r) => r !== null).sort((a, b) => a - b)
    if (!all.length) return ''
    return `${role} ${up.length}/${all.length}${rtts.length ? ` ${rtts[rtts.length >> 1].toFixed(1)} ms` : ''}`
  }).filter(Boolean).join(', ')
}
