// embed.js - /embed/NAME is the watch page with nothing but its player. Before anything is drawn, so that nothing moves.
if (/^(\/t\/[^/]+)?\/embed\//.test(location.pathname)) document.documentElement.classList.add('embedded')
