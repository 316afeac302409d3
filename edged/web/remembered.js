// remembered.js - what a viewer chose before, on this browser. Where nothing may be kept (a private window, a
// frame of another site) nothing is, and everything else goes on.

const KEY = 'freshet'

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) || {}
  } catch {
    return {}
  }
}

export const recall = (what) => read()[what]

export function remember(what, value) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...read(), [what]: value }))
  } catch {
    // it is not kept
  }
}
