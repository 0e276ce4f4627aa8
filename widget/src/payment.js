// The views of an invoice; loaded when there is one.

import { action, badge, copyRow, fine, h, kind, note, notes, receipt, title } from './parts.js';
import { restore, VIEWS } from './render.js';
import { btc, invoiceView } from './view.js';

/** @import { Context, InvoiceParts, InvoiceView, Part, ViewName } from './types' */

/**
 * One way to pay: what stands above, the code with its words, and what else leads there.
 * @type {(c: Context, v: InvoiceView, top: Part[], qr: string[], rows: Part[]) => Part[]}
 */
export const frame = (c, v, top, [src = '', alt = '', look = ''], rows) => {
  const { m, f } = c;
  return [
    ...top,
    h('div.pay', src && h(look ? `div.qr ${look}` : 'div.qr', h('img', { src, alt })), h('div.rows', ...rows)),
    ...notes(c),
    v.removed && note(f.say('note_removed')),
    receipt(c, !m.persistent),
    h(
      'div.status',
      f.say('waiting_state'),
      h('span.timer', { role: 'timer', 'aria-label': f.say('time_left') }),
    ),
    m.invoice?.price.rate && h('p.fine rate'),
  ];
};

/** @type {(c: Context, v: InvoiceView, choice?: Part[]) => Part[]} */
export const onchain = (c, v, choice = []) => {
  const { m, f } = c;
  if (!v.request || !m.invoice) return [note(f.say('no_rail'))];
  const { address, qr_svg_url: src } = v.request;
  const { price, received_msat } = m.invoice;
  const x = btc(v.dueSat);
  const due = f.sats(v.dueSat * 1000);
  const short = v.name === 'underpaid';
  const fiat = price.fiat && !short ? `${f.fiat(price.fiat)} · ${due}` : due;
  const to = address ?? '';
  // Groups of four are easier to compare.
  const grouped = h('span', ...(to.match(/.{1,4}/g) ?? []).map((four) => h('span', four)));
  return frame(
    c,
    v,
    [
      kind(c),
      title(f.say(v.name)),
      short && h('p', f.say('underpaid_text', { got: f.sats(received_msat), due })),
      short && !v.qrFits && fine(f.say('qr_other')),
      ...choice,
    ],
    v.qrFits ? [src, f.say('qr', { x, address: to })] : [],
    [
      copyRow(c, 'amount', `${x} BTC`, x, fiat),
      copyRow(c, 'address', grouped, to, ''),
      h('a.button', { href: v.uri, id: 'wallet' }, f.say('open_wallet')),
    ],
  );
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

/** Lightning brings its own way of waiting. @type {Partial<Record<ViewName, InvoiceParts>>} */
export const PARTS = {
  waiting: onchain,
  underpaid: onchain,
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
