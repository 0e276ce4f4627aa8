// Content that the page's own site holds: the site is asked, with the grant or by its cookie.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { anInvoice, clock, page, settle, storage, visibility } from './browser.js';
const { BOUGHT, ITEM, NAME, SERVER, SITE } = await import('./one_click.js');
const { Session } = await import('../src/session.js');

const PATH = '/wp-json/bitcache/v1/content?post=7&part=post';
const HTML = { html: '<p>of the site</p>', parts: {}, item: 'it_1' };
const PRICED = { ...ITEM, balance: { ...ITEM.balance, gift_msat: 0 } };
const PAID = { ...BOUGHT, grant: 'bought' };

/** @type {Record<string, any>} of the server by "METHOD path"; a string is an error's code */
let answers;
let calls;
/** What the site answers to a body: JSON, a code, or nothing at all. */
let site;
/** What the site was asked, newest last. */
let asked;
let events;
let session;

const reply = (answer, status) => {
  if (answer === undefined) throw new TypeError('Failed to fetch');
  if (typeof answer === 'string') return Response.json({ code: answer }, { status });
  return Response.json(answer);
};

const fetcher = async (url, { method, body }) => {
  const call = `${method} ${url.slice(SERVER.length + 4)}`;
  calls.push({ call, body: body && JSON.parse(body) });
  const answer = answers[call];
  return reply(typeof answer === 'function' ? answer(JSON.parse(body)) : answer, 400);
};

globalThis.fetch = async (url, options) => {
  const body = JSON.parse(options.body);
  asked.push({ url, options, body });
  const answer = site(body);
  return answer instanceof Response ? answer : reply(answer, 401);
};

const visit = async (attributes = {}) => {
  session?.stop();
  events = [];
  session = new Session('it_1', SERVER, () => {}, (name, detail) => events.push([name, detail]), fetcher);
  const all = { content: PATH, ...attributes };
  session.host = { hasAttribute: (name) => name in all, getAttribute: (name) => all[name] };
  await session.load();
  await settle();
  return session;
};
const keep = (name, entry) => storage.items.set(name, JSON.stringify(entry));
const kept = (name = NAME) => JSON.parse(storage.items.get(name) ?? '{}');
const made = (call) => calls.filter((one) => one.call === call);

beforeEach(() => {
  session?.stop();
  clock.install();
  storage.blocked = false;
  for (const name of [NAME, SITE]) keep(name, {});
  session?.store.write({});
  session?.balance?.allowance.store.write({});
  storage.items.clear();
  Object.assign(page, { hash: '', windows: [], went: [], blocked: false });
  visibility.cookie = '';
  calls = [];
  asked = [];
  site = ({ grant }) => (grant ? HTML : 'locked');
  answers = { 'GET items/it_1': PRICED, 'POST unlocks': PAID };
});

test('a stranger sees the offer, and the site is not asked', async () => {
  await visit();
  assert.equal(session.model.phase, 'offer');
  assert.deepEqual(asked, []);
});

test('what was bought is read from the site, with the grant in the body', async () => {
  keep(SITE, { token: 'token' });
  await visit();
  await session.read();
  assert.equal(session.model.phase, 'unlocked');
  assert.equal(session.model.html, HTML.html);
  assert.equal(asked.length, 1);
  const [{ url, options, body }] = asked;
  assert.equal(url, `${page.origin}${PATH}`);
  assert.deepEqual(body, { grant: 'bought' });
  assert.equal(options.method, 'POST');
  assert.equal(options.credentials, 'same-origin');
  assert.equal(options.redirect, 'error');
  assert.equal(options.cache, 'no-store');
  assert.deepEqual(made('GET content/it_1'), []);
  const [, detail] = events.find(([name]) => name === 'unlocked');
  assert.deepEqual(detail, { item: 'it_1', kind: 'article', answer: HTML });
});

test('with a stored grant the next visit asks the site alone', async () => {
  keep(NAME, { grant: 'g', kind: 'article' });
  await visit();
  assert.equal(session.model.phase, 'unlocked');
  assert.deepEqual(asked.map(({ body }) => body), [{ grant: 'g' }]);
  assert.deepEqual(calls, []);
});

for (const [why, cookie, attributes] of [
  ['the hint of its cookie', 'a=b; bitcache_hint=1; c=d', {}],
  ['the attribute ask', '', { ask: '' }],
]) {
  test(`${why}: the site is asked before any offer, and who has it pays nothing`, async () => {
    // Even where a small price would open by itself.
    keep(SITE, { token: 'token', auto: 9_000_000 });
    visibility.cookie = cookie;
    site = () => HTML;
    await visit(attributes);
    assert.equal(session.model.phase, 'unlocked');
    assert.deepEqual(asked.map(({ body }) => body), [{ grant: null }]);
    assert.deepEqual(calls, []);
    assert.deepEqual(events, [['unlocked', { item: 'it_1', kind: 'article', answer: HTML }]]);
  });
}

for (const cookie of ['', 'bitcache_hint=', 'bitcache_hint=10', 'xbitcache_hint=1', 'x=bitcache_hint=1']) {
  test(`the cookie "${cookie}" is no hint`, async () => {
    visibility.cookie = cookie;
    await visit();
    assert.deepEqual(asked, []);
    assert.equal(session.model.phase, 'offer');
  });
}

test('what the site keeps locked is offered', async () => {
  visibility.cookie = 'bitcache_hint=1';
  await visit();
  assert.equal(asked.length, 1);
  assert.equal(session.model.phase, 'offer');
  assert.equal(session.model.notice, '');
  assert.deepEqual(events, []);
});

for (const [what, answer] of [
  ['no answer', () => undefined],
  ['a page of HTML', () => new Response('<h1>Bad gateway</h1>', { status: 502 })],
  ['null', () => Response.json(null)],
  ['an error of its own', () => Response.json({ code: 'rest_no_route' }, { status: 404 })],
  ['no article', () => Response.json({ parts: {} })],
]) {
  test(`${what} from the site: no offer, and a second try that helps`, async () => {
    visibility.cookie = 'bitcache_hint=1';
    site = answer;
    await visit();
    assert.equal(session.model.phase, 'error');
    assert.deepEqual(calls, []);
    site = () => HTML;
    await session.retry();
    assert.equal(session.model.phase, 'unlocked');
    assert.deepEqual(calls, []);
  });
}

test('a site that cannot be reached is told from a server that cannot', async () => {
  visibility.cookie = 'bitcache_hint=1';
  site = () => undefined;
  await visit();
  assert.equal(session.model.error, 'offline_site');
});

for (const code of ['grant_invalid', 'grant_expired', 'grant_revoked', 'locked']) {
  test(`${code}: another grant is claimed, and nothing is paid`, async () => {
    keep(NAME, { grant: 'old', kind: 'article', invoice: 'in_1', verifier: 'v' });
    site = ({ grant }) => (grant === 'new' ? HTML : code);
    answers['POST invoices/in_1/claim'] = { grant: 'new', receipt: 'r' };
    await visit();
    assert.equal(session.model.phase, 'unlocked');
    assert.deepEqual(asked.map(({ body }) => body.grant), ['old', 'new']);
    assert.equal(kept().grant, 'new');
  });

  test(`${code} for a fresh grant: an error, and no second sale`, async () => {
    keep(NAME, { grant: 'old', kind: 'article', invoice: 'in_1', verifier: 'v' });
    site = () => code;
    answers['POST invoices/in_1/claim'] = { grant: 'new', receipt: 'r' };
    // To the server, whose clock counts, it is good.
    answers['GET grant'] = { item: 'it_1' };
    await visit();
    assert.equal(session.model.phase, 'error');
    assert.equal(kept().invoice, 'in_1');
  });
}

test('what has ended for the server, too, is sold again', async () => {
  keep(NAME, { grant: 'old', kind: 'article', invoice: 'in_1', verifier: 'v' });
  site = () => 'grant_expired';
  answers['POST invoices/in_1/claim'] = { grant: 'new', receipt: 'r' };
  answers['GET grant'] = 'grant_expired';
  await visit();
  assert.equal(session.model.phase, 'offer');
  assert.equal(session.model.notice, 'note_ended');
});

test('a grant from the balance is given again at no price', async () => {
  keep(NAME, { grant: 'old', kind: 'article' });
  keep(SITE, { token: 'token' });
  site = ({ grant }) => (grant === 'bought' ? HTML : 'grant_revoked');
  await visit();
  assert.equal(session.model.phase, 'unlocked');
  assert.deepEqual(made('POST unlocks').map(({ body }) => body.max_amount_msat), [0]);
});

test('the end of what the cookie opened is said, then it is offered', async () => {
  visibility.cookie = 'bitcache_hint=1';
  site = () => 'grant_expired';
  answers['POST unlocks'] = 'allowance_missing';
  await visit();
  assert.equal(session.model.phase, 'offer');
  assert.equal(session.model.notice, 'note_ended');
});

test('an invoice that waits goes on where the cookie opens nothing any more', async () => {
  visibility.cookie = 'bitcache_hint=1';
  keep(NAME, { invoice: 'in_1', verifier: 'v' });
  site = ({ grant }) => (grant ? HTML : 'grant_expired');
  answers['GET invoices/in_1'] = anInvoice({ state: 'paid' });
  answers['POST invoices/in_1/claim'] = { grant: 'claimed', receipt: 'r' };
  await visit();
  assert.equal(session.model.phase, 'unlocked');
  assert.deepEqual(asked.map(({ body }) => body.grant), [null, 'claimed']);
});

test('paid while the site is away: asked until it is back, and paid once', async () => {
  keep(NAME, { invoice: 'in_1', verifier: 'v' });
  answers['GET invoices/in_1'] = anInvoice({ state: 'paid' });
  answers['POST invoices/in_1/claim'] = { grant: 'claimed', receipt: 'r' };
  site = () => undefined;
  const loading = visit();
  for (let i = 0; i < 5; i += 1) await settle();
  assert.equal(session.model.offline, true);
  site = () => HTML;
  clock.tick(1_000);
  await loading;
  assert.equal(session.model.phase, 'unlocked');
  assert.deepEqual(made('POST invoices'), []);
});

test('undone: the text is gone, the site is told, and nothing opens by itself', async () => {
  keep(SITE, { token: 'token', auto: 9_000_000 });
  keep(NAME, { undone: true });
  answers['POST unlocks/undo'] = { refunded_msat: 5_000_000 };
  await visit();
  await session.read();
  assert.equal(session.model.phase, 'unlocked');
  await session.balance.undo();
  await settle();
  assert.equal(session.model.phase, 'offer');
  assert.deepEqual(asked.at(-1).body, { forget: true });
  assert.equal(kept().undone, true);
  // The site did not hear it, and looks its row up instead.
  visibility.cookie = 'bitcache_hint=1';
  site = () => 'grant_revoked';
  const before = made('POST unlocks').length;
  await visit();
  assert.equal(session.model.phase, 'offer');
  assert.equal(made('POST unlocks').length, before);
  assert.equal(kept().undone, true);
});

test('an undo counts though the site does not answer', async () => {
  keep(SITE, { token: 'token' });
  answers['POST unlocks/undo'] = { refunded_msat: 5_000_000 };
  await visit();
  await session.read();
  site = () => undefined;
  await session.balance.undo();
  await settle();
  assert.equal(session.model.phase, 'offer');
  assert.equal(session.model.notice, 'note_undone');
});

for (const content of ['https://elsewhere.example/x', '//elsewhere.example/x', 'data:,x', 'http://', 'javascript:x']) {
  test(`"${content}" is not asked and gets no grant`, async () => {
    keep(NAME, { grant: 'g', kind: 'article' });
    answers['GET content/it_1'] = 'content_elsewhere';
    await visit({ content });
    assert.deepEqual(asked, []);
    assert.deepEqual(events[0], ['error', { item: 'it_1', code: 'content_origin' }]);
    assert.equal(session.model.error, 'content_elsewhere');
  });
}
