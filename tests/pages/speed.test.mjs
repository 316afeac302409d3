// How fast a viewer plays where each change of the speed costs something (edged/web/speed.js), without a browser.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RATE, Speed } from '../../edged/web/speed.js'

const LOOK_S = 0.05

// A viewer `beyond` seconds farther behind than he is to be, for a minute; what he is to be may change by the second.
function watch(beyond, wanders = () => 0) {
  const speed = new Speed(), rates = [1]
  for (let now = 0; now < 60; now += LOOK_S) {
    const rate = speed.look(beyond + wanders(now))
    if (rate !== rates.at(-1)) rates.push(rate)
    beyond -= LOOK_S * (rate - 1)
  }
  return { rates, beyond }
}

test('who is too far behind comes there by one change of the speed, and stays there after another', () => {
  const { rates, beyond } = watch(2.5)
  assert.deepEqual(rates, [1, 1 + RATE, 1])
  assert.ok(Math.abs(beyond) < 0.05, `${beyond}`)
})

test('who is too near falls back in the same way', () => {
  const { rates, beyond } = watch(-0.8)
  assert.deepEqual(rates, [1, 1 - RATE, 1])
  assert.ok(Math.abs(beyond) < 0.05, `${beyond}`)
})

test('what a connection wavers by changes nothing', () => {
  assert.deepEqual(watch(0.1, (now) => 0.15 * Math.sin(now)).rates, [1])
})
