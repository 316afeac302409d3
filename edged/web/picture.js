// picture.js - whether the picture moves. Whatever the cause is, and whatever a player takes it for: a picture that stands still is told by
// nothing but itself.

const STILL_MS = 2000, LOOK_MS = 250
const MOVED_S = 0.2 // so much of it was played: on a busy machine by fits and starts, and a jump to another place (JUMPED_S at a look) is no playing
const JUMPED_S = 1.5

// expected(): whether it should move. changed(stands): it stands, and has for STILL_MS, or moves again. Returns what ends it.
export function watchPicture(video, expected, changed) {
  let last = video.currentTime, playedS = 0, sinceMs = performance.now(), stands = false
  const timer = setInterval(() => {
    const movedS = video.currentTime - last
    last = video.currentTime
    if (!video.seeking && movedS > 0 && movedS < JUMPED_S) playedS += movedS
    const rests = video.paused || video.ended || !expected()
    if (rests || playedS >= MOVED_S) {
      sinceMs = performance.now()
      playedS = 0
    }
    const stood = performance.now() - sinceMs >= STILL_MS
    if (stood === stands) return
    stands = stood
    changed(stands)
  }, LOOK_MS)
  return () => clearInterval(timer)
}

// How much can be played from where the video is.
export function bufferedS(video) {
  const { buffered, currentTime } = video
  for (let i = 0; i < buffered.length; i++)
    if (buffered.start(i) <= currentTime + 0.05 && buffered.end(i) > currentTime) return buffered.end(i) - currentTime
  return 0
}

// What every kind of player tells of the element it plays in.
export function pictureMetrics(video) {
  const quality = video.getVideoPlaybackQuality?.()
  return {
    width: video.videoWidth,
    height: video.videoHeight,
    decodedFrames: quality?.totalVideoFrames ?? 0,
    droppedFrames: quality?.droppedVideoFrames ?? 0,
    // Chromium and Safari have it; null elsewhere
    decodedAudioBytes: video.webkitAudioDecodedByteCount ?? null,
    playbackRate: video.playbackRate,
    currentTime: video.currentTime,
  }
}
