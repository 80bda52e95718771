// Watches a step of the wizard that runs: what has changed is put in the place of what is shown. Without this script the
// page has a link that does the same.
'use strict';

/** How often it is looked, in milliseconds. */
const PAUSE = 1000;

async function look() {
  const shown = document.getElementById('progress');
  if (!shown?.hasAttribute('data-running')) return;
  try {
    const answer = await fetch(location.href, { credentials: 'same-origin' });
    // Whoever is logged out is led to the login by the next click.
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const now = page.getElementById('progress');
    if (now && !now.hasAttribute('data-running')) {
      location.reload();
      return;
    }
    if (now && now.innerHTML !== shown.innerHTML) shown.replaceWith(document.adoptNode(now));
  } catch {
    // The gateway is restarted, or the network is away: it is looked again.
  }
  setTimeout(look, PAUSE);
}

setTimeout(look, PAUSE);
