// news.js - what a page says aloud. Screen readers speak each change of #news, the only live region of a page: so it changes when there is
// something new and at no other time, and what is shown may be written again as often as anybody likes.

const region = document.getElementById('news')
let last = ''

// about: what the words are of, where they may vary without being new.
export function tell(words, about = words) {
  if (about === last) return
  last = about
  region.textContent = words
}

// Shown text: the same words again leave the document alone.
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}
