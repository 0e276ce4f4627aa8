// Reading with one click: from the Bitcache balance, within limits that the reader has
// allowed on the server's own page. Loaded with the offer.

import { Allowance } from './allowance.js';
import { codeOf } from './api.js';
import { fine, h } from './parts.js';
import { VIEWS } from './render.js';
import { secret } from './secret.js';

/** @import { Session } from './session.js' */

/** Room for a rate that moves while the reader decides. */
const FIAT_SLACK = 1.05;
const TRIES = 6;

/** What repeating may cure. */
const passes = (/** @type {unknown} */ error) => /^(offline|rate_limited|storage)/.test(codeOf(error));

VIEWS.spent = ({ m, f, on }) => {
  const { spent, undo, undoing } = m;
  if (!spent) return [];
  const { charged_msat, left_msat } = spent;
  const said = f.say(charged_msat ? 'spent' : 'owned', { x: f.sats(charged_msat) });
  return [
    fine(left_msat === null ? said : `${said} ${f.say('left', { y: f.sats(left_msat) })}`),
    undo &&
      h(
        'div.status',
        h('button', { id: 'undo', 'aria-disabled': `${!!undoing}`, click: on.undo }, f.say('undo')),
        h('span.timer', { role: 'timer', 'aria-label': f.say('time_left') }),
      ),
    h('a.link', { href: on.wallet(), id: 'purse', target: '_blank' }, f.say('wallet')),
  ];
};

export class Balance {
  ending = 0;
  /** Set when only the reader can help: the next click asks again. */
  asking = false;
  /** Opened without a click, or not: it is tried once. */
  tried = false;

  constructor(/** @type {Session} */ s) {
    this.s = s;
    this.allowance = new Allowance(s, (code, verifier) =>
      s.click(() => this.#collect(code, verifier)),
    );
  }

  stop() {
    this.allowance.stop();
    clearTimeout(this.ending);
  }

  /** Ready for the click, or past it where the reader wants none. */
  async offered() {
    const { s, allowance } = this;
    allowance.shown();
    await allowance.prepare().catch(() => {});
    if (this.tried) return;
    this.tried = true;
    const { token, auto = 0 } = allowance.store.read();
    const price = s.model.item?.price.amount_msat;
    if (!token || !price || price > auto || s.store.read().undone) return;
    await this.#seen();
    if (s.running && s.model.phase === 'offer') await s.click(() => this.#buy(true));
  }

  /** Nothing is bought in a tab behind or below the fold. */
  async #seen() {
    const { host } = this.s;
    if (!host) return;
    await new Promise((done) => {
      const observer = new IntersectionObserver(([entry]) => {
        if (!entry?.isIntersecting) return;
        observer.disconnect();
        done(0);
      });
      observer.observe(host);
    });
  }

  async click() {
    const { s, allowance } = this;
    if (allowance.token && !this.asking) await s.click(() => this.#buy());
    else if (s.model.busy) return;
    else if (allowance.challenge) allowance.ask();
    else await s.try(() => allowance.prepare().then(() => allowance.ask()));
  }

  /** After a redirect. @returns {Promise<boolean>} whether this item was asked for */
  async returned() {
    const { s, allowance } = this;
    const code = allowance.arrived();
    if (!code) return false;
    const { ask, token } = allowance.store.read();
    this.tried = true;
    await s.offer();
    if (ask) await s.click(() => this.#collect(code, ask));
    // Another tab has collected it.
    else if (token) await s.click(() => this.#buy());
    else s.set({ notice: 'note_permit' });
    return true;
  }

  async #collect(code = '', verifier = '') {
    const { s } = this;
    try {
      const body = { code, verifier };
      const given = await this.#retrying(() => s.api('allowances', { body }));
      this.allowance.store.write({ token: given.allowance, auto: given.auto_msat });
    } catch (error) {
      return this.#refused(error);
    } finally {
      void this.allowance.prepare().catch(() => {});
    }
    this.asking = false;
    s.set({ allowed: true, label: undefined });
    if (s.model.phase === 'offer') await this.#buy();
  }

  /** What got no answer is asked again; the key sees to it that it happens once. */
  async #retrying(/** @type {() => Promise<any>} */ work) {
    for (let tries = 1; ; tries += 1) {
      try {
        const answer = await work();
        this.s.set({ offline: false });
        return answer;
      } catch (error) {
        if (!passes(error) || tries === TRIES || !this.s.running) throw error;
      }
      this.s.set({ offline: true });
      await new Promise((done) => setTimeout(done, tries * 1000));
    }
  }

  async #buy(auto = false) {
    const { s } = this;
    const { price } = s.model.item ?? {};
    const shown = price?.amount_msat ?? 0;
    const max_amount_msat = Math.ceil(shown * (price?.fiat ? FIAT_SLACK : 1));
    const body = { item: s.itemId, max_amount_msat, auto };
    const pay = async (again = false) => {
      // Saved first: a second tab, a reload and a second try all mean the same purchase.
      const { unlock: key = secret() } = again ? {} : s.store.read();
      s.store.update({ unlock: key });
      return s.api('unlocks', { body, key, grant: this.allowance.token });
    };
    try {
      const bought = await this.#retrying(pay).catch((error) => {
        if (!/purchase_ended|idempotency_conflict/.test(codeOf(error))) throw error;
        return this.#retrying(() => pay(true));
      });
      await this.#bought(bought);
    } catch (error) {
      s.set({ offline: false });
      // Without a click there is nothing to explain: the offer stands.
      if (!auto) await this.#refused(error);
      else if (REFUSALS[codeOf(error)]?.[0] === 'note_permit') this.allowance.forget();
    }
  }

  /** @param {import('./types').Bought} bought */
  async #bought({ grant, receipt, outcome, charged_msat, balance_msat, gift_msat, undo_until }) {
    const { s } = this;
    const { item } = s.model;
    const kind = item?.kind ?? 'article';
    const skew = (item?.balance?.now ?? 0) * 1000 - (s.readAt ?? 0);
    const undo = undo_until ? undo_until * 1000 - skew : 0;
    const left_msat = balance_msat === null ? null : balance_msat + (gift_msat ?? 0);
    const spent = { charged_msat, left_msat };
    // An invoice that was made before is still watched for money.
    s.store.reset(true);
    s.store.update({ grant, kind, undo, spent });
    s.set({ allowed: true, label: undefined });
    if (outcome !== 'owned') s.emit('paid', { item: s.itemId, receipt, charged_msat });
    this.undoable();
    await s.unlock(true);
  }

  /** Show what was paid, and for a while the way back. */
  undoable() {
    const { s } = this;
    const { undo = 0, spent } = s.store.read();
    const leftMs = undo - Date.now();
    clearTimeout(this.ending);
    if (leftMs > 0) this.ending = setTimeout(() => s.set({ undo: 0 }), leftMs);
    s.set({ spent, undo: leftMs > 0 ? undo : 0 });
  }

  async undo() {
    const { s } = this;
    if (s.model.undoing) return;
    s.set({ undoing: true, notice: '' });
    try {
      if (!s.model.item) await s.item();
      const options = { body: { item: s.itemId }, grant: this.allowance.token };
      const back = await this.#retrying(() => s.api('unlocks/undo', options)).catch((error) => {
        // Of two tries the first was heard.
        if (codeOf(error) !== 'already_refunded') throw error;
        return {};
      });
      s.store.reset();
      s.store.update({ undone: true });
      void s.site?.forget();
      clearTimeout(this.ending);
      s.emit('refunded', { item: s.itemId, refunded_msat: back.refunded_msat ?? 0 });
      s.set({ spent: undefined, undo: 0, undoing: false });
      await s.offer('note_undone');
    } catch (error) {
      const passing = passes(error);
      const notice = passing ? `e_${codeOf(error)}` : 'note_final';
      s.set({ undoing: false, offline: false, notice, undo: passing ? s.model.undo : 0 });
    }
  }

  /** A grant was refused: what the wallet owns is given again and costs nothing. */
  async renew() {
    const { s } = this;
    try {
      if (!s.model.item) await s.item();
      const options = {
        body: { item: s.itemId, max_amount_msat: 0 },
        grant: this.allowance.token,
      };
      const { grant } = await s.api('unlocks', options);
      s.store.update({ grant });
    } catch (error) {
      if (passes(error)) throw error;
      s.store.reset();
      return s.offer('note_ended');
    }
    await s.unlock(true);
  }

  /** Say in words what is wrong, and let the next click do what helps. */
  async #refused(/** @type {unknown} */ error) {
    const { s } = this;
    const code = codeOf(error);
    const [notice, label] = REFUSALS[code] ?? [];
    if (!notice) throw error;
    if (notice === 'note_permit') this.allowance.forget();
    if (code === 'price_changed') await s.item();
    this.asking = !!label;
    await s.offer(notice);
    s.set({ label });
  }
}

/** What to say, and what the button is for then. @type {Record<string, string[]>} */
const REFUSALS = {
  price_changed: ['note_price'],
  insufficient_balance: ['note_small', 'top_up'],
  allowance_exceeded: ['note_limits', 'raise'],
};
for (const code of ['revoked', 'expired', 'invalid', 'missing']) {
  REFUSALS[`allowance_${code}`] = ['note_permit'];
}
for (const code of ['unknown_allowance', 'unknown_wallet', 'approval_pending', 'verifier_mismatch']) {
  REFUSALS[code] = ['note_permit'];
}
