// Paying over Lightning: alone where the price is small, else one code for Lightning and
// on-chain. Some wallets take that one as on-chain, so the reader can pick each alone.

import { copyRow, fine, h, kind, note, receipt, title } from './parts.js';
import { frame, onchain, PARTS } from './payment.js';
import { VIEWS } from './render.js';

/** @import { Context, InvoiceParts, Part, Way } from './types' */

/** What the browser's wallet was asked, and has to say. @type {(c: Context) => string} */
const stateOf = ({ m }) => (m.sending?.invoice === m.invoice?.id && m.sending?.state) || '';

/** @type {(c: Context, state: string) => Part[]} */
const wallet = (c, state) => {
  // One that pays, or has paid, is not asked again.
  if (/sent|code/.test(state)) return [];
  if (/asking|slow/.test(state)) return [note(c.f.say(`webln_${state}`))];
  const buttons = VIEWS.webln?.(c) ?? [];
  return [state && note(c.f.say(`webln_${state}`)), ...buttons, buttons[0] && fine(c.f.say('or_phone'))];
};

/** @type {(c: Context, ways: Way[], way: Way) => Part[]} */
const choice = ({ f, on }, ways, way) => [
  h(
    'div.ways',
    { role: 'group', 'aria-label': f.say('ways') },
    ...ways.map((name) =>
      h(
        'button',
        { id: `way_${name}`, 'aria-pressed': `${name === way}`, click: () => on.set({ way: name }) },
        f.say(`way_${name}`),
      ),
    ),
  ),
  way === 'any' && fine(f.say('any_text')),
];

/** The wallet's word opens nothing; the server's does, and it comes by itself. @type {(c: Context) => Part[]} */
const sent = (c) => [
  h('div.badge busy'),
  title(c.f.say('sent')),
  h('p', c.f.say('sent_text')),
  c.m.offline && note(c.f.say('note_offline')),
  receipt(c, !c.m.persistent),
  h(
    'button.link',
    {
      id: 'code',
      click: () => c.on.set({ sending: { invoice: c.m.invoice?.id ?? '', state: 'code' } }),
    },
    c.f.say('show_code'),
  ),
];

/** @type {InvoiceParts} */
PARTS.waiting = (c, v) => {
  const { m, f } = c;
  const { requests = [], unified, price } = m.invoice ?? {};
  const lightning = requests.find(({ bolt11 }) => bolt11);
  if (!lightning) return onchain(c, v);
  const state = stateOf(c);
  if (state === 'sent') return sent(c);
  /** @type {Way[]} */
  const ways = ['lightning'];
  if (unified) ways.unshift('any');
  if (v.request) ways.push('onchain');
  const way = ways.find((name) => name === m.way) ?? ways[0] ?? 'lightning';
  const top = [...wallet(c, state), ...(ways[1] ? choice(c, ways, way) : [])];
  if (way === 'onchain') return onchain(c, v, top);
  const { uri, qr_svg_url } = (way === 'any' && unified) || lightning;
  const text = way === 'any' ? uri : (lightning.bolt11 ?? '');
  const x = f.sats(lightning.amount_msat);
  const rows = [
    h('p.price', h('strong', x), price?.fiat && f.fiat(price.fiat)),
    h(m.wallet ? 'a.button' : 'a.button primary', { href: uri, id: 'wallet' }, f.say('open_wallet')),
    h('div.one', copyRow(c, way === 'any' ? 'link' : 'invoice', text, text, '')),
    fine(f.say('other_app')),
  ];
  // Its own margin is enough, and every pixel counts on a small phone.
  const code = [qr_svg_url, f.say(`qr_${way}`, { x }), 'dense'];
  return frame(c, v, [kind(c), title(f.say('waiting')), ...top], code, rows);
};
