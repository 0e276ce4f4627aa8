// The window in which the reader allows a site's page to spend from the balance, and the
// allowance that comes of it. As OAuth's code flow with a proof key (RFC 6749, RFC 7636).

import { challengeOf, secret } from './secret.js';
import { Store } from './store.js';

/** @import { Session } from './session.js' */

/** @type {{ code: string, item: string | null } | undefined} */
let arrived;

/** What the server's page gave in the address is taken out of it at once. */
const arrival = () => {
  const found = new URLSearchParams(location.hash.slice(1));
  const code = found.get('bitcache_code');
  if (code) {
    arrived = { code, item: found.get('bitcache_item') };
    history.replaceState(history.state, '', location.pathname + location.search);
  }
};

export class Allowance {
  /** @type {Window | null} */
  popup = null;
  watch = 0;
  verifier = '';
  challenge = '';
  origin = '';
  /** @type {Store | undefined} */
  kept;

  /**
   * @param {Session} s
   * @param {(code: string, verifier: string) => unknown} approved
   */
  constructor(s, approved) {
    this.s = s;
    arrival();
    this.heard = (/** @type {MessageEvent} */ { origin, source, data }) => {
      if (!source || source !== this.popup || origin !== this.origin) return;
      if (data?.type !== 'bitcache:approved') return;
      this.#forgetWindow();
      approved(`${data.code}`, this.verifier);
    };
    addEventListener('message', this.heard);
  }

  stop() {
    removeEventListener('message', this.heard);
    this.#forgetWindow();
    this.kept?.close();
  }

  /** What this browser keeps for the site: the allowance, and the secret that collects it. */
  get store() {
    const { server, model } = this.s;
    this.kept ??= new Store(`bitcache:${server}:${model.item?.site.id}`, () => this.shown());
    return this.kept;
  }

  get token() {
    return this.store.read().token;
  }

  shown() {
    this.s.set({ allowed: !!this.token });
  }

  forget() {
    this.store.write({});
    this.shown();
  }

  /** Before the click, which must open its window at once. */
  async prepare() {
    const verifier = this.store.read().ask ?? secret();
    const challenge = await challengeOf(verifier);
    // A click did the same meanwhile, and was quicker: its window has the other two.
    if (!this.popup) Object.assign(this, { verifier, challenge });
  }

  /** Open the window, or go to its page where windows are blocked. */
  ask() {
    const { s, verifier: ask, popup } = this;
    if (popup && !popup.closed) return popup.focus();
    const url = new URL(s.model.item?.balance?.connect_url ?? '', s.server);
    this.origin = url.origin;
    url.search = `${new URLSearchParams({
      item: s.itemId,
      origin: location.origin,
      challenge: this.challenge,
      return_to: location.href.split('#')[0] ?? '',
    })}`;
    // For the page that the reader comes back to, should it be another one.
    this.store.update({ ask });
    clearInterval(this.watch);
    this.popup = open(`${url}&popup=1`, '', 'popup,width=480,height=760');
    if (!this.popup) return location.assign(url);
    s.set({ notice: 'note_window' });
    this.watch = setInterval(() => this.popup?.closed && this.#closed(), 400);
  }

  /** The code of a redirect that was for this item. @returns {string | undefined} */
  arrived() {
    if (arrived?.item !== this.s.itemId) return;
    const { code } = arrived;
    arrived = undefined;
    return code;
  }

  #forgetWindow() {
    clearInterval(this.watch);
    this.popup = null;
  }

  #closed() {
    clearInterval(this.watch);
    // What it sent before it closed may still be on its way.
    this.watch = setTimeout(() => {
      this.#forgetWindow();
      this.s.set({ notice: 'note_closed' });
    }, 500);
  }
}
