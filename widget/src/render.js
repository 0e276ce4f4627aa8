// The wall: a model in, nodes out.

import { action, badge, fileLine, fine, h, kind, note, notes, receipt, title } from './parts.js';

/** @import { Actions, Context, Formatter, Model, View } from './types' */

/** @type {(c: Context, id: string, open: boolean) => HTMLElement} */
export const restoreLink = ({ f, on }, id, open) =>
  h('button.link', { id, type: 'button', click: () => on.restoring(open) }, f.say(id));

/** @type {View} */
export const restore = (c) =>
  (c.m.restoring && VIEWS.restore?.(c)) || [restoreLink(c, 'restore_open', true)];

/** @type {View} */
const offer = (c) => {
  const { item } = c.m;
  const { f } = c;
  if (!item) return [];
  const { price, policy, rails } = item;
  const { amount_msat, fiat } = price;
  const sats = amount_msat && f.sats(amount_msat);
  const click = sats && item.balance;
  const wallet = (sats && rails.includes('lightning') && VIEWS.webln?.(c)) || [];
  const lack = sats ? !rails[0] && !click && 'no_rail' : 'e_rate_unavailable';
  const problem = item.archived ? 'e_item_archived' : lack;
  return [
    kind(c),
    title(item.title),
    fileLine(c),
    h(
      'p.price',
      h('strong', fiat ? f.fiat(fiat) : sats),
      fiat && sats && f.say('about', { x: sats }),
    ),
    ...notes(c),
    problem && note(f.say(problem)),
    click && action(c, 'read', c.m.label ?? (item.file ? 'get' : 'read')),
    click && click.gift_msat && !c.m.allowed && fine(f.say('gift', { x: f.sats(click.gift_msat) })),
    ...wallet,
    (lack || rails[0]) && !item.archived && action(c, problem ? 'retry' : 'pay', undefined, click || wallet[0]),
    fine(f.say(policy.type, { n: policy.hours ?? policy.downloads ?? 0 })),
    ...restore(c),
  ];
};

/** Those of an invoice, a receipt code, a balance and a wallet come with their modules. @type {Record<string, View>} */
export const VIEWS = {
  offer,
  error: (c) => [
    badge('!'),
    title(c.f.say('error')),
    h('p', c.f.error(`e_${c.m.error}`)),
    // No second try can help these.
    !/unknown_item|archived|elsewhere|origin_not|insecure/.test(c.m.error ?? '') && action(c, 'retry'),
    !/unknown_item|offline/.test(c.m.error ?? '') &&
      h('a.link', { href: c.on.hosted(), id: 'hosted' }, c.f.say('hosted')),
  ],
  download: (c) => [
    kind(c),
    title(c.f.say('download_ready')),
    fileLine(c),
    ...notes(c),
    action(c, 'download'),
    ...(VIEWS.spent?.(c) ?? []),
    receipt(c),
  ],
  unlocked: (c) => [
    title(c.f.say('unlocked')),
    ...notes(c),
    ...(VIEWS.spent?.(c) ?? []),
    receipt(c),
  ],
};

/** @type {(m: Model, f: Formatter, on: Actions) => HTMLElement} */
export const renderWall = (m, f, on) => {
  /** @type {Context} */
  const c = { m, f, on, name: m.phase };
  if (c.name === 'unlocked' && m.html === undefined) c.name = 'download';
  const parts = VIEWS[c.name]?.(c) ?? [];
  return h(
    'section.wall',
    { lang: f.lang, dir: f.say('dir'), 'data-view': c.name, 'aria-labelledby': 'title' },
    ...parts,
  );
};
