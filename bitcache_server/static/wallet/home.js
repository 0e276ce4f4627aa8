// The gift on the wallet's own pages; everything else there works without a script.

const gift = document.getElementById('gift');
const failed = document.getElementById('gift_failed');

const take = async () => {
  if (!gift || !failed || gift.ariaDisabled === 'true') return;
  const words = gift.textContent;
  gift.ariaDisabled = 'true';
  gift.textContent = gift.dataset.busy ?? words;
  failed.hidden = true;
  try {
    const { takeGift } = await import('./gift.js');
    await takeGift();
    // The server has checked that this is a page of ours.
    location.assign(gift.dataset.next || '/wallet');
  } catch (error) {
    failed.textContent = error instanceof Error ? error.message : 'That did not work. Please try again.';
    failed.hidden = false;
    gift.ariaDisabled = 'false';
    gift.textContent = words;
  }
};

gift?.addEventListener('click', take);
