// The window that a site's page opens to ask for an allowance. All of it but the gift
// works without this file, only with one more click.

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

document.getElementById('cancel')?.addEventListener('click', (event) => {
  if (!page || new URLSearchParams(location.search).get('popup') !== '1') return;
  event.preventDefault();
  window.close();
});

const giver = document.getElementById('gift');
const failed = document.getElementById('gift_failed');

const give = async () => {
  if (!giver || !failed || giver.ariaDisabled === 'true') return;
  const words = giver.textContent;
  giver.ariaDisabled = 'true';
  giver.textContent = giver.dataset.busy ?? '';
  failed.hidden = true;
  try {
    const { takeGift } = await import('./gift.js');
    await takeGift();
    location.reload();
  } catch (error) {
    failed.textContent = error instanceof Error ? error.message : '';
    failed.hidden = false;
    giver.ariaDisabled = 'false';
    giver.textContent = words;
  }
};

giver?.addEventListener('click', give);

export {};
