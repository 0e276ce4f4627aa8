// One reader, one item: from the offer to the content, without its looks.

import { codeOf, connect, fail } from './api.js';
import { Store } from './store.js';

/** @import { Invoice, Model } from './types' */

const base64url = (/** @type {Uint8Array} */ bytes) =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');

const secret = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

/** As in PKCE (RFC 7636): who shows the secret of this hash gets the grant. */
export const challengeOf = async (verifier = '') => {
  // Only on https and localhost.
  if (!crypto.subtle) fail('insecure_context');
  const bytes = new TextEncoder().encode(verifier);
  return base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
};

export class Session {
  /** @type {Model} */
  model = { phase: 'loading' };
  running = true;
  unfollow = () => {};
  /** @type {() => unknown} */
  retry = () => this.load();

  /**
   * @param {(model: Model) => void} changed
   * @param {(name: string, detail: object) => void} emit
   * @param {typeof fetch} [fetcher]
   */
  constructor(itemId = '', server = '', changed, emit, fetcher) {
    this.itemId = itemId;
    this.server = server;
    this.changed = changed;
    this.emit = emit;
    this.api = connect(server, fetcher);
    this.store = new Store(`bitcache:${server}:${itemId}`, () => this.#onOther());
    this.timer = setInterval(() => this.checkOlder(), 20_000);
  }

  stop() {
    this.running = false;
    this.unfollow();
    this.store.close();
    clearInterval(this.timer);
  }

  set(/** @type {Partial<Model>} */ change) {
    if (!this.running) return;
    const { verifier, invoice } = this.store.read();
    const receiptCode = invoice ? `${invoice}.${verifier}` : '';
    Object.assign(this.model, { receiptCode, persistent: this.store.persistent }, change);
    this.changed(this.model);
  }

  async #try(/** @type {() => Promise<unknown>} */ work) {
    try {
      await work();
    } catch (error) {
      if (!this.running) return;
      const code = codeOf(error);
      this.unfollow();
      this.retry = () => this.#click(work);
      this.set({ phase: 'error', error: code });
      this.emit('error', { item: this.itemId, code });
    }
  }

  /** A button does nothing twice. */
  async #click(/** @type {() => Promise<unknown>} */ work) {
    if (this.model.busy) return;
    this.set({ busy: true, notice: '' });
    await this.#try(work);
    this.set({ busy: false });
  }

  load() {
    return this.#try(async () => {
      const { grant, kind, invoice } = this.store.read();
      if (grant && kind === 'article') return this.#unlock();
      await this.#item();
      if (grant) await this.#unlock();
      else if (invoice) await this.#resume();
      else await this.#offer();
    });
  }

  async #item() {
    this.set({ item: await this.api(`items/${this.itemId}`) });
  }

  async #offer(notice = '') {
    this.unfollow();
    this.retry = () => this.load();
    if (!this.model.item) await this.#item();
    this.set({ phase: 'offer', invoice: undefined, offline: false, notice });
    void this.checkOlder();
  }

  async #resume() {
    try {
      await this.#adopt(await this.api(`invoices/${this.store.read().invoice}`));
    } catch (error) {
      if (codeOf(error) !== 'unknown_invoice') throw error;
      this.store.reset();
      await this.#offer();
    }
  }

  /** No invoice before the click: a crawler costs nothing. */
  pay() {
    return this.#click(async () => {
      // Another tab may have made one.
      if (this.store.read().invoice) await this.#resume();
      else await this.#adopt(await this.#create());
    });
  }

  /** The old code is still watched for late money. */
  newCode() {
    if (!this.model.busy) this.store.reset(true);
    return this.pay();
  }

  /**
   * What is saved first leads a second try or tab to the same invoice.
   * @returns {Promise<Invoice>}
   */
  async #create() {
    const { verifier = secret(), key = secret() } = this.store.read();
    const challenge = await challengeOf(verifier);
    this.store.update({ verifier, key });
    try {
      const invoice = await this.api('invoices', {
        body: { item: this.itemId, challenge, rail: 'onchain' },
        key,
      });
      this.store.update({ invoice: invoice.id });
      return invoice;
    } catch (error) {
      if (codeOf(error) !== 'idempotency_conflict') throw error;
      this.store.reset();
      return this.#create();
    }
  }

  async #adopt(/** @type {Invoice} */ invoice) {
    const [{ follow }] = await Promise.all([import('./live.js'), import('./payment.js')]);
    if (invoice.state === 'open' && !invoice.requests[0]) {
      invoice = await this.api(`invoices/${invoice.id}/requests`, { body: { rail: 'onchain' } });
    }
    this.unfollow();
    if (!this.running) return;
    this.unfollow = follow(
      new URL(invoice.events_url, this.server).href,
      () => this.api(`invoices/${invoice.id}`),
      (fresh) => void this.#onInvoice(fresh),
      (offline) => this.set({ offline }),
    );
    await this.#onInvoice(invoice);
  }

  async #onInvoice(/** @type {Invoice} */ invoice) {
    const clockOffsetMs = invoice.now * 1000 - Date.now();
    this.set({ phase: 'invoice', invoice, clockOffsetMs });
    if (invoice.state !== 'paid') return;
    this.unfollow();
    await this.#try(() => this.#collect('claim'));
  }

  redeem() {
    return this.#click(() => this.#collect('redeem'));
  }

  /** The money has arrived: try for as long as it takes. */
  async #collect(how = '') {
    for (let tries = 0; this.running; tries += 1) {
      const { invoice, verifier } = this.store.read();
      try {
        const path = `invoices/${invoice}/${how}`;
        const { grant, receipt } = await this.api(path, { body: { verifier } });
        const kind = this.model.item?.kind ?? 'article';
        this.store.update({ grant, kind });
        this.emit('paid', { item: this.itemId, invoice, receipt });
        return await this.#unlock(true);
      } catch (error) {
        const code = codeOf(error);
        if (code === 'invoice_not_paid') return this.#resume();
        if (/^(grant_[er]|verifier|unknown_invoice)/.test(code)) {
          this.store.reset();
          return this.#offer(code === 'verifier_mismatch' ? 'restore_bad' : 'note_ended');
        }
        if (!/^(offline|rate_limited|storage)/.test(code)) throw error;
      }
      this.set({ offline: true });
      await new Promise((done) => setTimeout(done, Math.min(15, 1 + tries) * 1000));
    }
  }

  async #unlock(fresh = false) {
    const { grant, kind } = this.store.read();
    const item = this.itemId;
    let { invoice } = this.model;
    try {
      const content = kind === 'article' ? await this.api(`content/${item}`, { grant }) : {};
      this.unfollow();
      // Redeemed money, here or in another tab, is no credit any more.
      const stale = invoice && invoice.state !== 'paid' && `invoices/${invoice.id}`;
      if (stale) invoice = await this.api(stale).catch(() => undefined);
      this.set({ phase: 'unlocked', html: content.html, invoice, offline: false, notice: '' });
      this.emit('unlocked', { item, kind });
    } catch (error) {
      await this.#renew(error, fresh);
    }
  }

  /** Claim another grant, unless the refused one is fresh. */
  async #renew(/** @type {unknown} */ error, fresh = false) {
    if (fresh || !codeOf(error).startsWith('grant')) throw error;
    await this.#collect('claim');
  }

  download(/** @type {(url: string) => void} */ go) {
    const link = async (again = false) => {
      try {
        const { grant } = this.store.read();
        const { url } = await this.api(`files/${this.itemId}/link`, { body: {}, grant });
        go(new URL(url, this.server).href);
      } catch (error) {
        await this.#renew(error, again);
        if (this.store.read().grant) await link(true);
      }
    };
    return this.#click(link);
  }

  /** Mail programs add white space to a receipt code. */
  async restore(text = '') {
    const [invoice = '', verifier = ''] = text.replace(/\s/g, '').split('.');
    const path = `invoices/${encodeURIComponent(invoice)}`;
    try {
      // What this browser has gives way to a right code only.
      const { item } = await this.api(path);
      if (item !== this.itemId) return this.set({ restoreError: 'restore_other' });
      await this.api(`${path}/claim`, { body: { verifier } });
    } catch (error) {
      const code = codeOf(error);
      if (code !== 'invoice_not_paid') {
        const mine = /^(offline|rate_limited|storage)/.test(code);
        return this.set({ restoreError: mine ? `e_${code}` : 'restore_bad' });
      }
    }
    this.store.reset(true, invoice);
    this.store.update({ invoice, verifier });
    this.set({ restoring: false });
    await this.#try(() => this.#collect('claim'));
  }

  /** Late money may have reached an earlier code. */
  async checkOlder() {
    const { phase, busy, invoice: current, item } = this.model;
    if (!/offer|invoice/.test(phase) || busy || current?.received_msat || document.hidden) return;
    for (const { invoice: id, verifier } of this.store.read().older ?? []) {
      const invoice = await this.api(`invoices/${id}`).catch(() => null);
      const due = item?.price.amount_msat ?? invoice?.amount_msat;
      if (invoice?.state === 'paid' || invoice?.credit_msat >= due) {
        this.store.reset(true, id);
        this.store.update({ invoice: id, verifier });
        return this.#adopt(invoice);
      }
    }
  }

  #onOther() {
    const { grant, invoice } = this.store.read();
    const { phase, busy } = this.model;
    if (busy || /unlocked|loading/.test(phase)) return;
    if (grant) void this.#try(() => this.#unlock());
    else if (invoice && invoice !== this.model.invoice?.id) void this.#try(() => this.#resume());
  }
}
