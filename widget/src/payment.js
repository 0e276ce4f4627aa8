// The views of an invoice; loaded when there is one.

import { action, badge, copyRow, fine, h, kind, note, notes, receipt, title } from './parts.js';
import { restore, VIEWS } from './render.js';
import { btc, invoiceView } from './view.js';

/** @import { InvoiceParts, ViewName } from './types' */

/** @type {InvoiceParts} */
const payment = (c, v) => {
  const { m, f } = c;
  if (!v.request || !m.invoice) return [];
  const { address, qr_svg_url: src } = v.request;
  const { price, received_msat } = m.invoice;
  const x = btc(v.dueSat);
  const due = f.sats(v.dueSat * 1000);
  const short = v.name === 'underpaid';
  const fiat = price.fiat && !short ? `${f.fiat(price.fiat)} · ${due}` : due;
  // Groups of four are easier to compare.
  const grouped = h('span', ...(address.match(/.{1,4}/g) ?? []).map((four) => h('span', four)));
  return [
    kind(c),
    title(f.say(v.name)),
    short && h('p', f.say('underpaid_text', { got: f.sats(received_msat), due })),
    short && !v.qrFits && fine(f.say('qr_other')),
    h(
      'div.pay',
      v.qrFits && h('div.qr', h('img', { src, alt: f.say('qr', { x, address }) })),
      h(
        'div.rows',
        copyRow(c, 'amount', `${x} BTC`, x, fiat),
        copyRow(c, 'address', grouped, address, ''),
        h('a.button', { href: v.uri, id: 'wallet' }, f.say('open_wallet')),
      ),
    ),
    ...notes(c),
    v.removed && note(f.say('note_removed')),
    receipt(c, !m.persistent),
    h(
      'div.status',
      f.say('waiting_state'),
      h('span.timer', { role: 'timer', 'aria-label': f.say('time_left') }),
    ),
    price.rate && h('p.fine rate'),
  ];
};

/** @type {InvoiceParts} */
const progress = (c, { name, confirmations, required }) => {
  const { m, f } = c;
  const label = f.say('confirmations', { n: confirmations, m: required });
  return [
    h('div.badge busy'),
    title(f.say(name)),
    h('p', f.say('seen_text')),
    required &&
      h('progress', { value: `${confirmations}`, max: `${required}`, 'aria-label': label }),
    required && fine(label),
    ...notes(c),
    receipt(c, !m.persistent),
  ];
};

/** @type {Partial<Record<ViewName, InvoiceParts>>} */
const PARTS = {
  waiting: payment,
  underpaid: payment,
  seen: progress,
  confirming: progress,
  paid: (c) => [h('div.badge busy'), title(c.f.say('paid')), ...notes(c)],
  expired: (c) => [
    title(c.f.say('expired')),
    h('p', c.f.say('expired_text')),
    ...notes(c),
    action(c, 'newCode'),
    receipt(c, !!c.m.invoice?.credit_msat || !c.m.persistent),
    ...restore(c),
  ],
  credit: (c) => [
    badge(),
    title(c.f.say('credit')),
    h('p', c.f.say('credit_text', { x: c.f.sats(c.m.invoice?.credit_msat ?? 0) })),
    ...notes(c),
    action(c, 'redeem'),
    receipt(c),
  ],
};

VIEWS.invoice = (c) => {
  const { invoice, item } = c.m;
  if (!invoice) return [];
  const view = invoiceView(invoice, item?.price.amount_msat);
  c.name = view.name;
  return PARTS[view.name]?.(c, view) ?? [];
};
