// How far behind the camera the page keeps a viewer (edged/web/pace.js), on connections that are made up.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LATE_MOST_S, LEAST_S, MOST_S, Pace } from '../../edged/web/pace.js'

const LOOK_S = 0.05, PIECE_S = 0.2
const RATE = 0.04 // what a player is faster or slower at most

// A viewer for `seconds`: pieces of 0.2 s, the newest of which is late(n) seconds old when it comes. Stalls and latency as time goes on.
function watch({ seconds, late, target = 0.8, pace = new Pace(target, 0.55) }) {
  const seen = { stalls: 0, latency: [], targets: [], pace }
  let position = -target, end = -target, next = -20, stands = false // media time, with the camera's clock at `now`
  for (let now = 0; now < seconds; now += LOOK_S) {
    for (; (next + 1) * PIECE_S + late(next) <= now; next++) end = (next + 1) * PIECE_S
    const latency = now - position, wish = latency - pace.target
    const step = LOOK_S * (1 + Math.max(-RATE, Math.min(RATE, wish)))
    if (position + step <= end) {
      position += step
      stands = false
    } else if (!stands && now > 2) {
      stands = true
      seen.stalls++
      pace.stalled()
    }
    pace.look(now, now + LOOK_S - position, Math.max(0, end - position))
    seen.latency.push(now - position)
    seen.targets.push(pace.target)
  }
  return seen
}

const steady = () => 0.15
const last = (list) => list[list.length - 1]

test('on a steady connection a viewer comes nearer to the camera than the manifest says, and never stalls', () => {
  const { stalls, targets, latency } = watch({ seconds: 120, late: steady })
  assert.equal(stalls, 0)
  assert.ok(last(targets) < 0.7 && last(targets) >= LEAST_S, `${last(targets)}`)
  assert.ok(Math.abs(last(latency) - last(targets)) < 0.1)
})

test('what the manifest says holds until there is something to go by', () => {
  const { targets } = watch({ seconds: 8, late: steady })
  assert.equal(Math.min(...targets), 0.8)
})

test('pieces that are late now and then cost one stall, after which the target leaves room for them', () => {
  const late = (n) => n % 60 === 59 ? 1.1 : 0.15 // each 12 s
  const { stalls, targets } = watch({ seconds: 300, late })
  assert.ok(stalls <= 2, `${stalls} stalls`)
  assert.ok(last(targets) > 1.2 && last(targets) < 2, `${last(targets)}`)
})

test('a connection that becomes steady again brings the viewer back near the camera, by less than a player can follow', () => {
  const late = (n) => n < 300 && n % 40 === 39 ? 1.1 : 0.15 // for the first minute
  const { targets } = watch({ seconds: 400, late })
  assert.ok(Math.max(...targets) > 1.2)
  assert.ok(last(targets) < 0.8, `${last(targets)}`)
  for (let i = 1; i < targets.length; i++)
    assert.ok(targets[i - 1] - targets[i] < RATE * LOOK_S, `fell by ${targets[i - 1] - targets[i]}`)
})

test('three seconds are the most, unless the manifest wants more', () => {
  const late = () => 2.95
  assert.equal(last(watch({ seconds: 60, late, target: 2.5 }).targets), MOST_S)
  assert.ok(last(watch({ seconds: 60, late, target: 4 }).targets) <= 4)
})

test('a broadcast that is late is followed as far as it is late, and found again when it is not', () => {
  const pace = new Pace(0.8)
  pace.stood(8)
  for (let now = 0; now < 60; now += LOOK_S) pace.look(now, 8.1, 0.2)
  assert.ok(pace.target > 7.5 && pace.target < 8.5, `${pace.target}`)
  for (let now = 60; now < 400; now += LOOK_S) pace.look(now, pace.target, pace.target - 0.5)
  assert.ok(pace.target < 1, `${pace.target}`)
  pace.stood(500)
  assert.equal(pace.target, LATE_MOST_S)
})

test('a viewer who was away is not taken for one whose connection is slow', () => {
  const pace = new Pace(0.8)
  for (let now = 0; now < 20; now += LOOK_S) pace.look(now, 8, 0.1) // catching up from afar, what he loads is played at once
  assert.ok(pace.target <= 0.8)
})

test('the manifest may keep everybody further behind', () => {
  const { targets } = watch({ seconds: 120, late: steady, target: 2, pace: new Pace(2, 1.3) })
  assert.ok(last(targets) >= 1.3 && last(targets) < 1.4, `${last(targets)}`)
})
