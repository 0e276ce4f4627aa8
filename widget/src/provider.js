// A wallet in the browser (WebLN): an extension, the browser itself, or what
// the site's own Bitcoin Connect is connected to. Shared with the server's top-up page.

/** @import { Session } from './session.js' */

// Of WebLN wallets, and of Bitcoin Connect before version 3. Since then a site sets
// window.webln when it likes, and no event tells: so a look now and then, too.
const EVENTS = ['webln:ready', 'webln:enabled', 'bc:connected', 'bc:disconnected'];
const LOOK_MS = 1_000;
/** How wallets say that the reader said no; there is no code for it. */
const NO = /reject|cancel|denied|declin|refus|abort|clos/i;

const wallet = () => {
  const { webln } = window;
  return typeof webln?.sendPayment === 'function' ? webln : undefined;
};

/**
 * Tell whether there is a wallet, now and whenever that changes, until `ended` says so.
 * @param {(there: boolean) => void} changed
 * @param {() => boolean} [ended]
 */
export const watch = (changed, ended = () => false) => {
  /** @type {boolean | undefined} */
  let before;
  const look = () => {
    const there = !!wallet();
    if (ended()) stop();
    else if (there !== before) changed((before = there));
  };
  const timer = setInterval(look, LOOK_MS);
  const stop = () => {
    clearInterval(timer);
    for (const name of EVENTS) removeEventListener(name, look, true);
  };
  // While they go down, because some are sent to the document and do not come up.
  for (const name of EVENTS) addEventListener(name, look, true);
  look();
};

/** @typedef {'sent' | 'refused' | 'failed'} Outcome */

/** What was asked for, by invoice: no wallet is asked twice. @type {Map<string, Promise<Outcome>>} */
const asked = new Map();

/** @returns {Promise<Outcome>} */
const ask = async (bolt11 = '') => {
  try {
    const webln = wallet();
    await webln?.enable();
    // The preimage that comes back proves nothing: a wallet can say what it likes.
    if (webln) await webln.sendPayment(bolt11);
    return webln ? 'sent' : 'failed';
  } catch (error) {
    asked.delete(bolt11);
    return NO.test(`${error}`) ? 'refused' : 'failed';
  }
};

/** Let the wallet pay an invoice. Only after the reader's click: it may open a window. */
export const payOnce = (bolt11 = '') => {
  const payment = asked.get(bolt11) ?? ask(bolt11);
  asked.set(bolt11, payment);
  return payment;
};

/** @type {WeakSet<Session>} */
const watched = new WeakSet();

/** Offer a wallet where there is one. */
export const lookOut = (/** @type {Session} */ s) => {
  if (watched.has(s)) return;
  watched.add(s);
  watch(
    async (there) => {
      const loaded = there && (await import('./webln.js').catch(() => undefined));
      if (loaded) s.wallet ??= new loaded.BrowserWallet(s);
      s.set({ wallet: !!(s.wallet && wallet()) });
    },
    () => {
      const over = !s.running || s.model.phase === 'unlocked';
      if (over) watched.delete(s);
      return over;
    },
  );
};
