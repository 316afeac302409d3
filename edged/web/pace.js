// pace.js - how far behind the camera a viewer is best off. Pure: who plays passes times and figures in, all in seconds.
//
// The newest media that a viewer has is of some age. That age grows until the next piece comes, and what it grew to is what this
// viewer's connection needs: nearer to the camera the picture would have stood still. So the target is the greatest age of the last
// SEEN_S, and a margin. A stall says that the margin was too small: it grows by STALL_S, which is forgotten by half in FORGET_S.
// The target rises at once and falls by FALL a second, which a player follows by speed without anybody hearing it.
// Where nothing comes for seconds the broadcast itself may be late (its encoder, or the way to it): the viewer is then kept as far behind as it is.
export const LEAST_S = 0.5, MOST_S = 3, LATE_MOST_S = 30
const SEEN_S = 30
const SETTLE_S = 10 // before that nobody knows, and the target is not below what the manifest says
const MARGIN_S = 0.15, STALL_S = 0.2, FORGET_S = 60
const FALL = 0.03
const FAR_S = 1.5 // who is further behind than that has not been given less by his connection, but was away

export class Pace {
  // target, least: what the manifest says
  constructor(target, least = 0) {
    this.least = Math.max(LEAST_S, least)
    this.usual = this.most = Math.max(MOST_S, target)
    this.first = this.target = target
    this.ages = new Map() // greatest of each second, by the second
    this.since = null
    this.wary = 0
    this.last = null
  }

  // latency: how far behind the camera the picture is; buffer: how much there is to play behind it
  look(now, latency, buffer) {
    const second = Math.floor(now), passed = this.last === null ? 0 : Math.max(0, now - this.last)
    this.since ??= now
    this.last = now
    this.wary *= 0.5 ** (passed / FORGET_S)
    if (latency <= this.target + FAR_S)
      this.ages.set(second, Math.max(this.ages.get(second) ?? 0, latency - buffer))
    for (const seen of this.ages.keys()) if (seen <= second - SEEN_S) this.ages.delete(seen)
    const needed = this.age + MARGIN_S + this.wary
    if (needed < this.usual) this.most = this.usual
    const floor = now - this.since < SETTLE_S ? this.first : this.least
    const wanted = Math.min(this.most, Math.max(floor, needed))
    this.target = Math.max(wanted, this.target - FALL * passed)
  }

  // The greatest of what was seen.
  get age() {
    return Math.max(0, ...this.ages.values())
  }

  stalled() {
    this.wary += STALL_S
  }

  // The picture has stood still for seconds, latency behind the camera.
  stood(latency) {
    this.most = LATE_MOST_S
    this.target = Math.max(this.target, Math.min(LATE_MOST_S, latency + MARGIN_S))
  }
}
