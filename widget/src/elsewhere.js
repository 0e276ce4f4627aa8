// Content that the page's own site holds: it is asked with the grant, or by the cookie that
// it has set itself. Loaded where the element has the attribute `content`.

import { codeOf, fail } from './api.js';

/** @import { Session } from './session.js' */

/** Readable sign of a site's own cookie, which no script can read. */
const hinted = () => {
  try {
    return /(^|; )bitcache_hint=1(;|$)/.test(document.cookie);
  } catch {
    // A frame without an origin has no cookies.
    return false;
  }
};

export class Elsewhere {
  /**
   * @param {Session} s
   * @param {string} url
   */
  constructor(s, url) {
    this.s = s;
    this.url = url;
  }

  /** Before any offer: who has it already is not asked to pay. @returns {Promise<boolean>} */
  async open() {
    const { s } = this;
    const { grant, invoice, undone } = s.store.read();
    // With a grant of its own the session unlocks, and renews what is refused.
    if (grant || !(hinted() || s.host?.hasAttribute('ask'))) return false;
    try {
      await s.unlock(true);
    } catch (error) {
      const code = codeOf(error);
      if (!/^(locked$|grant_)/.test(code)) throw error;
      if (code === 'locked' || invoice || undone) return false;
      await (await s.purse()).renew();
    }
    return true;
  }

  /** @param {string | undefined} grant */
  async read(grant, fresh = false) {
    const answer = await this.#post({ grant: grant ?? null }).catch(async (error) => {
      // Only the server ends a purchase: a site's clock may be wrong.
      if (!fresh || !grant || !/^grant_[er]/.test(codeOf(error))) throw error;
      await this.s.api('grant', { grant });
      return fail('grant_invalid');
    });
    if (typeof answer.html !== 'string') return fail();
    return { html: answer.html, answer };
  }

  /** The purchase was taken back: the site's own cookie opens it no more. */
  forget() {
    return this.#post({ forget: true }).catch(() => {});
  }

  /** @param {{ grant?: string | null, forget?: true }} body */
  async #post(body) {
    let response;
    let answer;
    try {
      response = await fetch(this.url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
        cache: 'no-store',
        credentials: 'same-origin',
        // A grant does not follow a redirect to another host.
        redirect: 'error',
        signal: AbortSignal.timeout(20_000),
      });
      answer = await response.json();
    } catch {
      return fail('offline_site');
    }
    if (response.ok && answer) return answer;
    const code = `${answer?.code}`;
    // A grant that opens nothing is a bad one: it is renewed, and nothing is sold twice.
    return fail(code === 'locked' && body.grant ? 'grant_invalid' : code);
  }
}

/** What reads from the address in `content`, which must be on the page's own origin. */
export const elsewhere = (/** @type {Session} */ s) => {
  try {
    const url = new URL(s.host?.getAttribute('content') ?? '', location.href);
    if (url.origin === location.origin) return new Elsewhere(s, url.href);
  } catch {
    // No address at all.
  }
  s.emit('error', { item: s.itemId, code: 'content_origin' });
  return undefined;
};
