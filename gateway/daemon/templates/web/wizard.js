// Watches a step of the wizard that runs: what has changed is put in the place of what is shown. Without this script the
// page has a link that does the same.
'use strict';

/** How often it is looked, in milliseconds. */
const PAUSE = 1000;

async function look() {
  const shown = document.getElementById('progress');
  if (!shown?.hasAttribute('data-running')) return;
  // Puts what has changed in its place, piece by piece: whoever is on a button, or has opened something, stays there.
  const renew = (now) => {
    shown.toggleAttribute('data-running', now.hasAttribute('data-running'));
    const opened = new Set([...shown.querySelectorAll('details[open] > summary')].map((one) => one.textContent));
    for (const one of now.querySelectorAll('details')) one.open = opened.has(one.querySelector('summary').textContent);
    const pieces = [...now.children];
    pieces.forEach((piece, place) => {
      const olds = [...shown.children].slice(place);
      const same = olds.findIndex((old) => old.isEqualNode(piece));
      if (same >= 0) olds.slice(0, same).forEach((old) => old.remove());
      else if (olds[0] && !pieces.slice(place).some((later) => later.isEqualNode(olds[0]))) olds[0].replaceWith(piece);
      else shown.insertBefore(piece, olds[0] ?? null);
    });
    while (shown.childElementCount > pieces.length) shown.lastElementChild.remove();
  };
  try {
    const answer = await fetch(location.href, { credentials: 'same-origin' });
    // Whoever is logged out is led to the login by the next click.
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const now = page.getElementById('progress');
    if (now && !now.hasAttribute('data-running')) {
      location.reload();
      return;
    }
    if (now) renew(now);
  } catch {
    // The gateway is restarted, or the network is away: it is looked again.
  }
  setTimeout(look, PAUSE);
}

setTimeout(look, PAUSE);
