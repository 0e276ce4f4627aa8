// The gift: a proof of work (ALTCHA, https://altcha.org/docs/v2/), then starter credit.

/**
 * @typedef {object} Parameters in hex; `attempts` is where the answer is found at the latest
 * @property {string} nonce
 * @property {string} salt
 * @property {number} cost
 * @property {number} keyLength
 * @property {string} keyPrefix
 * @property {{attempts: number}} data
 * @typedef {{parameters: Parameters}} Challenge
 */

/** Thrown with a sentence for the reader; `code` is the server's, where it answered. */
export class GiftError extends Error {
  /** @param {string} message @param {string} [code] */
  constructor(message, code = '') {
    super(message);
    this.name = 'GiftError';
    this.code = code;
  }
}

const hexOf = (/** @type {Uint8Array} */ bytes) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const bytesOf = (/** @type {string} */ hex) =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** @param {string} path @param {object} body @returns {Promise<any>} */
async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  } catch {
    throw new GiftError('The server does not answer. Are you online?');
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new GiftError(answer.detail || 'That did not work. Try again.', answer.code);
  return answer;
}

/**
 * Find the counter whose derived key begins with the challenge's prefix. Each attempt is
 * one PBKDF2 in the browser's own machine code, so the page stays usable meanwhile.
 *
 * @param {Challenge} challenge
 * @param {(done: number) => void} onProgress
 */
async function solve(challenge, onProgress) {
  const { nonce, salt, cost, keyLength, keyPrefix, data } = challenge.parameters;
  const password = new Uint8Array(nonce.length / 2 + 4);
  password.set(bytesOf(nonce));
  const counterBytes = new DataView(password.buffer, nonce.length / 2);
  const derivation = { name: 'PBKDF2', hash: 'SHA-256', salt: bytesOf(salt), iterations: cost };
  for (let counter = 0; counter < data.attempts; counter += 1) {
    counterBytes.setUint32(0, counter);
    const key = await crypto.subtle.importKey('raw', password, 'PBKDF2', false, ['deriveBits']);
    const derived = hexOf(new Uint8Array(await crypto.subtle.deriveBits(derivation, key, keyLength * 8)));
    if (derived.startsWith(keyPrefix)) return { counter, derivedKey: derived };
    onProgress(counter / data.attempts);
  }
  throw new GiftError('The challenge has no answer. Try again.');
}

/** @param {(done: number) => void} onProgress @returns {Promise<{gift_msat: number}>} */
async function work(onProgress) {
  const challenge = await post('/wallet/gift/challenge', {});
  const solution = await solve(challenge, onProgress);
  return post('/wallet/gift', { payload: btoa(JSON.stringify({ challenge, solution })) });
}

/**
 * Take the gift into the wallet of this browser; a browser without one gets one.
 *
 * @param {(done: number) => void} [onProgress] called with 0 to 1 while the work goes on
 * @returns {Promise<{gift_msat: number}>}
 * @throws {GiftError} with a sentence for the reader
 */
export async function takeGift(onProgress = () => {}) {
  if (!globalThis.crypto?.subtle) {
    throw new GiftError('Gifts need a newer browser, or an address that begins with https.');
  }
  // Two tabs at once would each make a wallet, and one of the two gifts would be lost.
  if (!navigator.locks) return work(onProgress);
  return navigator.locks.request('bitcache-gift', () => work(onProgress));
}

/**
 * Let the page's gift button take the gift; a page without one is left alone.
 *
 * @param {(button: HTMLElement) => void} onTaken
 */
export function serveGiftButton(onTaken) {
  const button = document.getElementById('gift');
  const failed = document.getElementById('gift_failed');
  if (!button || !failed) return;
  // Shown only now: a press before anything listens would be lost without a word.
  button.hidden = false;
  button.addEventListener('click', async () => {
    if (button.ariaDisabled === 'true') return;
    const words = button.textContent;
    button.ariaDisabled = 'true';
    button.textContent = button.dataset.busy ?? words;
    failed.hidden = true;
    try {
      await takeGift();
      onTaken(button);
    } catch (error) {
      failed.textContent = error instanceof Error ? error.message : 'That did not work. Please try again.';
      failed.hidden = false;
      button.ariaDisabled = 'false';
      button.textContent = words;
    }
  });
}
