// speed.js - how fast a viewer at the live edge plays, in browsers where each change of the speed costs a moment of picture or sound. Pure.
//
// So there are few: one when he is too far from where he is to be, and one when he is there.
export const RATE = 0.08 // faster or slower at most, as low latency is (tail.js)
const FAR_S = 0.3, THERE_S = 0.02

export class Speed {
  way = 0 // 1: he catches up, -1: he falls back, 0: neither

  // beyond: seconds farther behind the camera than he is to be. What he is to play at
  look(beyond) {
    if (this.way === 0 && Math.abs(beyond) > FAR_S) this.way = Math.sign(beyond)
    else if (this.way * beyond < THERE_S) this.way = 0
    return 1 + RATE * this.way
  }
}
