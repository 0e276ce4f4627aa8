// The window that a site's page opens to ask for an allowance. All of it but the gift
// works without this file, only with one more click.

import { serveGiftButton } from './gift.js';

const page = window.opener;

/** @type {HTMLAnchorElement | null} */
const done = document.querySelector('a#return');
if (done) {
  const { popup, origin = '', item, code } = done.dataset;
  if (popup && page) {
    // The browser delivers it to that origin and to no other.
    page.postMessage({ type: 'bitcache:approved', item, code }, origin);
    window.close();
  } else {
    location.replace(done.href);
  }
}

// A site can keep this window behind its own and bring it up just under a click that was
// meant for the site, often the second of a double click. So a form waits until the page
// was in view for a moment. Without this file nothing waits.
const WAIT_MS = 700;
let inViewSince = 0;
/** @type {number | undefined} */
let timer;

/** @param {boolean} wait */
const show = (wait) => {
  for (const button of document.querySelectorAll('form button')) {
    button.ariaDisabled = String(wait);
  }
};

const comeIntoView = () => {
  inViewSince = performance.now();
  show(true);
  clearTimeout(timer);
  timer = setTimeout(() => show(false), WAIT_MS);
};

comeIntoView();
addEventListener('focus', comeIntoView);
addEventListener('pageshow', comeIntoView);
document.addEventListener('visibilitychange', comeIntoView);
document.addEventListener('submit', (event) => {
  if (performance.now() - inViewSince < WAIT_MS) event.preventDefault();
});

document.getElementById('cancel')?.addEventListener('click', (event) => {
  if (!page || new URLSearchParams(location.search).get('popup') !== '1') return;
  event.preventDefault();
  window.close();
});

serveGiftButton(() => location.reload());
