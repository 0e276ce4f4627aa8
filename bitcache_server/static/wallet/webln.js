// A top-up paid by the browser's wallet, where there is one. Everything else on the page works
// without this file. What the wallet says moves no money here: top_up.js asks the server what
// has arrived.

const WORDS = {
  asking: 'Go on in your wallet.',
  sent: 'Your wallet says it has paid. Waiting until the payment arrives here.',
  refused: 'Your wallet has not paid. You can try again, or use a wallet on your phone.',
  failed: 'Your wallet could not pay. Nothing is lost: try again, or use a wallet on your phone.',
};

const box = document.getElementById('webln');
const button = box?.querySelector('button');
const note = box?.querySelector('p[role=status]');
const { bolt11 = '', module = '' } = box?.dataset ?? {};
/** So that the page, loaded again, does not offer to pay what the wallet has paid. */
const memory = `bitcache-sent:${bolt11}`;

/** @param {keyof typeof WORDS} state */
const say = (state) => {
  if (!box || !button || !(note instanceof HTMLElement)) return;
  box.hidden = note.hidden = false;
  // Pages in other languages bring their own words.
  note.textContent = box.dataset[state] ?? WORDS[state];
  button.hidden = state === 'sent';
  button.ariaDisabled = String(state === 'asking');
};

const remembered = () => {
  try {
    return sessionStorage.getItem(memory) === 'sent';
  } catch {
    return false;
  }
};

const remember = () => {
  try {
    sessionStorage.setItem(memory, 'sent');
  } catch {
    // The browser stores nothing; a wallet pays an invoice once all the same.
  }
};

const start = async () => {
  if (remembered()) return say('sent');
  /** @type {typeof import('../../../widget/src/provider.js')} */
  const { payOnce, watch } = await import(module);
  let asking = false;
  watch((there) => {
    if (box && !asking) box.hidden = !there;
  });
  button?.addEventListener('click', async () => {
    if (asking) return;
    asking = true;
    say('asking');
    const outcome = await payOnce(bolt11);
    asking = false;
    say(outcome);
    if (outcome === 'sent') remember();
  });
};

// Without the module the page stays as it is.
if (box) start().catch(() => {});

export {};
