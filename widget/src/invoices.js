// Paying with bitcoin: from the click to the grant. Loaded when there is an invoice.

import { codeOf, late } from './api.js';
import { challengeOf, secret } from './secret.js';

/** @import { Invoice } from './types' */
/** @import { Session } from './session.js' */

/** Every rail that is on offer, best first. */
const ANY = 'any';

/** No invoice before the click: a crawler costs nothing. */
export const pay = async (/** @type {Session} */ s) => {
  // Another tab may have made one.
  if (s.store.read().invoice) await resume(s);
  else await adopt(s, await create(s));
};

export const resume = async (/** @type {Session} */ s) => {
  try {
    await adopt(s, await s.api(`invoices/${s.store.read().invoice}`));
  } catch (error) {
    if (codeOf(error) !== 'unknown_invoice') throw error;
    s.store.reset();
    await s.offer();
  }
};

/**
 * What is saved first leads a second try or tab to the same invoice.
 * @type {(s: Session) => Promise<Invoice>}
 */
const create = async (s) => {
  const { verifier = secret(), key = secret() } = s.store.read();
  const challenge = await challengeOf(verifier);
  s.store.update({ verifier, key });
  try {
    const invoice = await s.api('invoices', {
      body: { item: s.itemId, challenge, rail: ANY },
      key,
    });
    s.store.update({ invoice: invoice.id });
    return invoice;
  } catch (error) {
    if (codeOf(error) !== 'idempotency_conflict') throw error;
    s.store.reset();
    return create(s);
  }
};

/** @type {(s: Session, invoice: Invoice) => Promise<void>} */
const adopt = async (s, invoice) => {
  const [{ follow }] = await Promise.all([import('./live.js'), import('./payment.js')]);
  if (invoice.state === 'open' && !invoice.requests[0]) {
    invoice = await s.api(`invoices/${invoice.id}/requests`, { body: { rail: ANY } });
  }
  if (invoice.requests.some(({ bolt11 }) => bolt11)) {
    await late(import('./lightning.js'));
    void s.lookOut();
  }
  s.unfollow();
  if (!s.running) return;
  const { sent } = s.store.read();
  if (sent === invoice.id) s.set({ sending: { invoice: sent, state: 'sent' } });
  s.unfollow = follow(
    new URL(invoice.events_url, s.server).href,
    () => s.api(`invoices/${invoice.id}`),
    (fresh) => void onInvoice(s, fresh),
    (offline) => s.set({ offline }),
  );
  await onInvoice(s, invoice);
};

/** @type {(s: Session, invoice: Invoice) => Promise<void>} */
const onInvoice = async (s, invoice) => {
  const clockOffsetMs = invoice.now * 1000 - Date.now();
  s.set({ phase: 'invoice', invoice, clockOffsetMs });
  if (invoice.state !== 'paid') return;
  s.unfollow();
  await s.try(() => collect(s, 'claim'));
};

/**
 * The money has arrived: try for as long as it takes.
 * @type {(s: Session, how: 'claim' | 'redeem') => Promise<void>}
 */
export const collect = async (s, how) => {
  for (let tries = 0; s.running; tries += 1) {
    const { invoice, verifier } = s.store.read();
    try {
      const path = `invoices/${invoice}/${how}`;
      const { grant, receipt } = await s.api(path, { body: { verifier } });
      const kind = s.model.item?.kind ?? 'article';
      s.store.update({ grant, kind });
      s.emit('paid', { item: s.itemId, invoice, receipt });
      return await s.unlock(true);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'invoice_not_paid') return resume(s);
      if (/^(grant_[er]|verifier|unknown_invoice)/.test(code)) {
        s.store.reset();
        return s.offer(code === 'verifier_mismatch' ? 'restore_bad' : 'note_ended');
      }
      if (!/^(offline|rate_limited|storage)/.test(code)) throw error;
    }
    s.set({ offline: true });
    await new Promise((done) => setTimeout(done, Math.min(15, 1 + tries) * 1000));
  }
};

export const checkOlder = async (/** @type {Session} */ s) => {
  const { phase, busy, invoice: current, item } = s.model;
  if (!/offer|invoice/.test(phase) || busy || current?.received_msat || document.hidden) return;
  for (const { invoice: id, verifier } of s.store.read().older ?? []) {
    const invoice = await s.api(`invoices/${id}`).catch(() => null);
    const due = item?.price.amount_msat ?? invoice?.amount_msat;
    if (invoice?.state === 'paid' || invoice?.credit_msat >= due) {
      s.store.reset(true, id);
      s.store.update({ invoice: id, verifier });
      return adopt(s, invoice);
    }
  }
};
