// Watches a step of the wizard that runs: what has changed is put in the place of what is shown. Without this script the
// page has a link that does the same.
'use strict';

/** How often it is looked, in milliseconds. */
const PAUSE = 1000;

/** Whether somebody has typed something that would be lost. */
function isTyped() {
  return [...document.querySelectorAll('input')].some((field) => field.value !== field.defaultValue || field.ariaInvalid === 'true');
}

/**
 * Puts what has changed in its place, piece by piece: screen readers tell of that alone, whoever is on a button stays there, and
 * what was opened stays open.
 */
function renew(shown, now) {
  const stops = 'a, button, summary';
  const at = [...shown.querySelectorAll(stops)].indexOf(document.activeElement);
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
  // The piece with the focus may have been one of them.
  if (at >= 0 && !shown.contains(document.activeElement)) shown.querySelectorAll(stops)[at]?.focus();
}

async function look() {
  const shown = document.getElementById('progress');
  if (!shown?.hasAttribute('data-running')) return;
  try {
    // Not the page's own address: behind a form that was refused that is the form's.
    const answer = await fetch(shown.dataset.page, { credentials: 'same-origin' });
    if (answer.redirected) {
      // Behind a power cut nobody is logged in any more.
      location.replace(answer.url);
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const now = page.getElementById('progress');
    if (now && !now.hasAttribute('data-running') && !isTyped()) {
      location.replace(shown.dataset.page);
      return;
    }
    if (now) renew(shown, now);
  } catch {
    // The gateway is restarted, or the network is away: it is looked again.
  }
  setTimeout(look, PAUSE);
}

/** Waits until the gateway is there again behind a restart, which ends every session, and leads to the login. */
async function wait() {
  try {
    const answer = await fetch('/wizard', { credentials: 'same-origin' });
    if (answer.redirected) {
      location.replace(answer.url);
      return;
    }
  } catch {
    // It is not there yet.
  }
  setTimeout(wait, PAUSE);
}

setTimeout(document.querySelector('[data-restarting]') ? wait : look, PAUSE);
