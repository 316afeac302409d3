// early.js - what a watch page needs first, asked for while its other scripts are still on their way.
//
// A picture takes the page, the list, the manifest, the beginnings of tracks and a segment, each known by the one before: with a round
// trip each that is most of the time until there is one. The list is handed over by streams.js; the other answers lie in the browser's
// cache when a player asks. Who plays by low latency or by the browser's own player needs none of them.
import { recall } from '/web/remembered.js'
import { askEarly, isOn, prefix } from '/web/streams.js'

const name = location.pathname.slice(prefix.length).split('/')[2]

const playsSegments = () => Boolean(window.MediaSource || window.ManagedMediaSource) && !recall('near')

async function askForBeginnings(answer) {
  const stream = answer.ok && (await answer.json()).streams.find((s) => s.id === name)
  if (!stream || !isOn(stream) || !playsSegments()) return
  const beginnings = (stream.tracks || []).map((track) => `${stream.session}/${track.name}/init.mp4`)
  for (const file of ['manifest.mpd', ...beginnings]) fetch(`${prefix}/live/${name}/${file}`).catch(() => {}) // the player will see
}

const list = askEarly()
if (new URLSearchParams(location.search).has('session')) list.catch(() => {})
else list.then(askForBeginnings).catch(() => {}) // the page will see
