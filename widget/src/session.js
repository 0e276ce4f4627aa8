// One reader, one item: from the offer to the content, without its looks. What pays is
// loaded when it is wanted: invoices.js with bitcoin, balance.js with one click.

import { codeOf, connect, late } from './api.js';
import { Store } from './store.js';

/** @import { Balance } from './balance.js' */
/** @import { Elsewhere } from './elsewhere.js' */
/** @import { Model } from './types' */

const invoices = () => late(import('./invoices.js'));

export class Session {
  /** @type {Model} */
  model = { phase: 'loading' };
  running = true;
  unfollow = () => {};
  /** @type {() => unknown} */
  retry = () => this.load();
  /** @type {Balance | undefined} */
  balance;
  readAt = 0;
  /** The element on the page. @type {Element | undefined} */
  host;
  /** Where the content is, unless the server holds it. @type {Elsewhere | undefined} */
  site;
  /** What pays with the browser's wallet, once there is one. @type {{ click(): unknown } | undefined} */
  wallet;

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
    this.balance?.stop();
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

  async try(/** @type {() => Promise<unknown>} */ work) {
    try {
      await work();
    } catch (error) {
      if (!this.running) return;
      const code = codeOf(error);
      this.unfollow();
      this.retry = () => this.click(work);
      this.set({ phase: 'error', error: code });
      this.emit('error', { item: this.itemId, code });
    }
  }

  /** A button does nothing twice. */
  async click(/** @type {() => Promise<unknown>} */ work) {
    if (this.model.busy) return;
    this.set({ busy: true, notice: '' });
    await this.try(work);
    this.set({ busy: false });
  }

  load() {
    return this.try(async () => {
      const back = /bitcache_code/.test(location.hash) && (await this.purse());
      if (this.host?.hasAttribute('content')) {
        this.site = (await late(import('./elsewhere.js'))).elsewhere(this);
        if (await this.site?.open()) return;
      }
      const { grant, kind, invoice } = this.store.read();
      if (grant && kind === 'article') return this.unlock();
      await this.item();
      if (grant) await this.unlock();
      else if (back && (await back.returned())) return;
      else if (invoice) await (await invoices()).resume(this);
      else await this.offer();
    });
  }

  async item() {
    this.set({ item: await this.api(`items/${this.itemId}`) });
    this.readAt = Date.now();
  }

  async offer(notice = '') {
    this.unfollow();
    this.retry = () => this.load();
    if (!this.model.item) await this.item();
    this.set({ phase: 'offer', invoice: undefined, offline: false, notice });
    if (this.model.item?.balance) void this.purse().then((balance) => balance.offered(), () => {});
    if (this.model.item?.rails.includes('lightning')) void this.lookOut();
    void this.checkOlder();
  }

  /** A wallet in the browser pays with one click: there now, or later. */
  lookOut() {
    return import('./provider.js').then(({ lookOut }) => lookOut(this), () => {});
  }

  /** Loaded before the click: a window that opens later than that is blocked. */
  async purse() {
    const { Balance } = await late(import('./balance.js'));
    return (this.balance ??= new Balance(this));
  }

  read() {
    return this.balance?.click() ?? this.try(async () => (await this.purse()).click());
  }

  async pay() {
    await this.click(async () => (await invoices()).pay(this));
  }

  /** The old code is still watched for late money. */
  newCode() {
    if (!this.model.busy) this.store.reset(true);
    return this.pay();
  }

  redeem() {
    return this.click(async () => (await invoices()).collect(this, 'redeem'));
  }

  /** Late money may have reached an earlier code. */
  async checkOlder() {
    if (this.store.read().older?.[0]) await (await invoices()).checkOlder(this);
  }

  async unlock(fresh = false) {
    const { grant, kind = 'article', undo = 0 } = this.store.read();
    const item = this.itemId;
    const read = async () => (kind === 'article' ? this.api(`content/${item}`, { grant }) : {});
    let { invoice } = this.model;
    try {
      /** @type {{ html?: string, answer?: object }} */
      const content = await (this.site ? this.site.read(grant, fresh) : read());
      this.unfollow();
      // Redeemed money, here or in another tab, is no credit any more.
      const stale = invoice && invoice.state !== 'paid' && `invoices/${invoice.id}`;
      if (stale) invoice = await this.api(stale).catch(() => undefined);
      if (undo > Date.now()) await this.purse().then((balance) => balance.undoable(), () => {});
      this.set({ phase: 'unlocked', html: content.html, invoice, offline: false, notice: '' });
      this.emit('unlocked', { item, kind, answer: content.answer });
    } catch (error) {
      await this.#renew(error, fresh);
    }
  }

  /** Get another grant, unless the refused one is fresh. */
  async #renew(/** @type {unknown} */ error, fresh = false) {
    if (fresh || !codeOf(error).startsWith('grant')) throw error;
    if (this.store.read().invoice) await (await invoices()).collect(this, 'claim');
    else await (await this.purse()).renew();
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
    return this.click(link);
  }

  #onOther() {
    const { grant, invoice, undone } = this.store.read();
    const { phase, busy } = this.model;
    if (busy) return;
    if (phase === 'unlocked') return undone && this.offer();
    if (phase === 'loading') return;
    if (grant) void this.try(() => this.unlock());
    else if (invoice && invoice !== this.model.invoice?.id) {
      void this.try(async () => (await invoices()).resume(this));
    }
  }
}
