// A wall whose item can be paid from a balance, and a server that answers as a test says.
import { beforeEach } from 'node:test';

import { clock, dispatch, page, settle, storage, visibility } from './browser.js';
const { Session } = await import('../src/session.js');

export const SERVER = 'https://pay.example';
export const NAME = `bitcache:${SERVER}:it_1`;
export const SITE = `bitcache:${SERVER}:st_1`;
export const ITEM = {
  id: 'it_1',
  kind: 'article',
  title: 'Title',
  site: { id: 'st_1', name: 'Site' },
  price: { amount_msat: 5_000_000, fiat: null, rate: null },
  policy: { type: 'forever', hours: null, downloads: null },
  file: null,
  rails: [],
  balance: { connect_url: `${SERVER}/wallet/connect`, gift_msat: 2_000_000, now: 1_000 },
};
export const BOUGHT = {
  grant: 'grant',
  receipt: 'receipt',
  item: 'it_1',
  expires_at: null,
  outcome: 'booked',
  charged_msat: 5_000_000,
  balance_msat: 1_000_000,
  gift_msat: 500_000,
  undo_until: 1_060,
};
const GIVEN = { allowance: 'token', site: 'st_1', per_item_msat: 9, per_day_msat: 9, auto_msat: 0, expires_at: 9 };

/** @type {Record<string, any>} answers by "METHOD path"; a string is an error's code */
export let answers;
export let calls;
export let events;
export let session;

const fetcher = async (url, { method, headers, body }) => {
  const call = `${method} ${url.slice(SERVER.length + 4)}`;
  calls.push({
    call,
    key: headers.get('Idempotency-Key'),
    grant: headers.get('Authorization'),
    body: body && JSON.parse(body),
  });
  let answer = answers[call];
  if (typeof answer === 'function') answer = answer(calls.at(-1));
  if (answer === undefined) throw new TypeError('Failed to fetch');
  if (typeof answer === 'string') return Response.json({ code: answer }, { status: 400 });
  return Response.json(answer);
};

export const visit = async () => {
  session?.stop();
  events = [];
  session = new Session('it_1', SERVER, () => {}, (name, detail) => events.push([name, detail]), fetcher);
  await session.load();
  await settle();
  return session;
};
export const made = (call) => calls.filter((one) => one.call === call);
export const kept = (name) => JSON.parse(storage.items.get(name) ?? '{}');
export const keep = (name, entry) => storage.items.set(name, JSON.stringify(entry));
export const message = (data, origin = SERVER, source = page.windows.at(-1)) => {
  dispatch(Object.assign(new Event('message'), { data, origin, source }));
  return settle();
};
export const approve = (changes = {}) => message({ type: 'bitcache:approved', code: 'code', ...changes });

beforeEach(() => {
  session?.stop();
  clock.install();
  storage.blocked = false;
  visibility.hidden = false;
  for (const name of [NAME, SITE]) keep(name, {});
  session?.store.write({});
  session?.balance?.allowance.store.write({});
  storage.items.clear();
  Object.assign(page, { hash: '', windows: [], went: [], blocked: false });
  calls = [];
  answers = {
    'GET items/it_1': ITEM,
    'POST allowances': GIVEN,
    'POST unlocks': BOUGHT,
    'GET content/it_1': { html: '<p>paid</p>' },
  };
});
