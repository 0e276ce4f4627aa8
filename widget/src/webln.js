// Paying with the browser's wallet: one click. Loaded when there is one.

import { action } from './parts.js';
import { payOnce } from './provider.js';
import { VIEWS } from './render.js';

/** @import { Sending } from './types' */
/** @import { Session } from './session.js' */

/** After this the reader is told that nothing comes back. */
const SLOW_MS = 20_000;
/** Room for a rate that moves between the offer and the invoice. */
const FIAT_SLACK = 1.05;

VIEWS.webln = (c) => {
  const { wallet, item, phase } = c.m;
  if (!wallet) return [];
  return [action(c, 'webln', 'pay_webln', phase === 'offer' && item?.balance)];
};

export class BrowserWallet {
  constructor(/** @type {Session} */ s) {
    this.s = s;
  }

  async click() {
    const { s } = this;
    if (s.model.busy) return;
    if (s.model.phase === 'offer') {
      const { amount_msat, fiat } = s.model.item?.price ?? {};
      await s.pay();
      // A price that went up is shown first: a wallet with a budget would not ask.
      const most = (amount_msat ?? 0) * (fiat ? FIAT_SLACK : 1);
      if ((s.model.invoice?.amount_msat ?? 0) > most) return;
    }
    await this.#send();
  }

  async #send() {
    const { phase, invoice } = this.s.model;
    const bolt11 = invoice?.requests.find((request) => request.bolt11)?.bolt11;
    if (phase !== 'invoice' || invoice?.state !== 'open' || !bolt11) return;
    this.#say(invoice.id, 'asking');
    const timer = setTimeout(() => this.#say(invoice.id, 'slow'), SLOW_MS);
    const outcome = await payOnce(bolt11);
    clearTimeout(timer);
    if (outcome === 'sent' && this.s.store.read().invoice === invoice.id) {
      this.s.store.update({ sent: invoice.id });
    }
    this.#say(invoice.id, outcome);
  }

  /** @type {(invoice: string, state: Sending['state']) => void} */
  #say(invoice, state) {
    if (this.s.model.invoice?.id === invoice) this.s.set({ sending: { invoice, state } });
  }
}
