import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { clock, otherTabWrote, page, settle, storage } from './browser.js';
import { answers, approve, calls, events, keep, kept, made, message, NAME, SERVER, session, SITE, visit } from './one_click.js';

test('looking asks for nothing and keeps nothing', async () => {
  await visit();
  assert.deepEqual(calls.map((one) => one.call), ['GET items/it_1']);
  assert.equal(storage.items.size, 0);
});

test('the click opens the window before anything is awaited', async () => {
  await visit();
  session.read();
  const [{ url }] = page.windows;
  const query = new URL(url).searchParams;
  assert.equal(new URL(url).origin, SERVER);
  assert.deepEqual(
    [query.get('item'), query.get('origin'), query.get('return_to'), query.get('popup')],
    ['it_1', 'https://blog.example', 'https://blog.example/a?x=1', '1'],
  );
  const { ask } = kept(SITE);
  assert.equal(query.get('challenge'), createHash('sha256').update(ask).digest('base64url'));
  assert.equal(session.model.notice, 'note_window');
});

test('a click while the secret is being made keeps the one that its window has', async (t) => {
  await visit();
  const { allowance } = session.balance;
  allowance.challenge = '';
  const digest = crypto.subtle.digest.bind(crypto.subtle);
  /** The first answer comes last. */
  const waiting = [];
  t.mock.method(crypto.subtle, 'digest', async (...args) => {
    const hash = await digest(...args);
    if (waiting.length === 0) await new Promise((done) => waiting.push(done));
    return hash;
  });
  const preparing = allowance.prepare();
  await settle();
  await session.read();
  waiting[0]();
  await preparing;
  page.windows[0].closed = true;
  clock.tick(1_000);
  await session.read();
  const { ask } = kept(SITE);
  for (const { url } of page.windows) {
    const challenge = new URL(url).searchParams.get('challenge');
    assert.equal(challenge, createHash('sha256').update(ask).digest('base64url'));
  }
  assert.equal(page.windows.length, 2);
  await approve();
  assert.deepEqual(made('POST allowances')[0].body, { code: 'code', verifier: ask });
});

test('a second click brings the window to the front', async () => {
  await visit();
  session.read();
  session.read();
  assert.equal(page.windows.length, 1);
  assert.equal(page.windows[0].focused, 1);
});

test('the approved allowance is collected and pays at once', async () => {
  await visit();
  session.read();
  const { ask } = kept(SITE);
  await approve();
  assert.deepEqual(made('POST allowances')[0].body, { code: 'code', verifier: ask });
  const [{ body, grant, key }] = made('POST unlocks');
  assert.deepEqual(body, { item: 'it_1', max_amount_msat: 5_000_000, auto: false });
  assert.equal(grant, 'Bearer token');
  assert.match(key, /^[\w-]{43}$/);
  assert.equal(session.model.phase, 'unlocked');
  assert.equal(kept(NAME).grant, 'grant');
  assert.deepEqual(kept(SITE), { token: 'token', auto: 0 });
  assert.deepEqual(session.model.spent, { charged_msat: 5_000_000, left_msat: 1_500_000 });
  assert.deepEqual(events.map(([name]) => name), ['paid', 'unlocked']);
});

test('messages of anybody else are not heard', async () => {
  await visit();
  session.read();
  const data = { type: 'bitcache:approved', code: 'code' };
  await message(data, 'https://evil.example');
  await message(data, SERVER, {});
  await message(data, SERVER, null);
  await message({ type: 'other', code: 'code' });
  await message(null);
  assert.equal(made('POST allowances').length, 0);
});

test('a window that closes says that nothing was paid, unless it had an answer', async () => {
  await visit();
  session.read();
  page.windows[0].closed = true;
  clock.tick(1_000);
  assert.equal(session.model.notice, 'note_closed');
  session.read();
  page.windows[1].closed = true;
  clock.tick(450);
  await approve();
  clock.tick(5_000);
  assert.equal(session.model.phase, 'unlocked');
});

test('a blocked window becomes a redirect, and the code in the address is used once', async () => {
  await visit();
  page.blocked = true;
  session.read();
  assert.match(page.went[0], /^https:\/\/pay\.example\/wallet\/connect\?/);
  assert.doesNotMatch(page.went[0], /popup/);
  const { ask } = kept(SITE);
  page.hash = '#bitcache_code=abc&bitcache_item=it_1';
  await visit();
  assert.equal(page.hash, '');
  assert.deepEqual(made('POST allowances')[0].body, { code: 'abc', verifier: ask });
  assert.equal(session.model.phase, 'unlocked');
  await visit();
  assert.equal(made('POST allowances').length, 1);
});

test('a code for another item of the page is left to it', async () => {
  page.hash = '#bitcache_code=abc&bitcache_item=it_2';
  await visit();
  assert.equal(page.hash, '');
  assert.equal(session.model.phase, 'offer');
  assert.equal(made('POST allowances').length, 0);
});

test('an approval that is over is asked for again', async () => {
  await visit();
  session.read();
  answers['POST allowances'] = 'approval_pending';
  await approve();
  assert.deepEqual([session.model.phase, session.model.notice], ['offer', 'note_permit']);
});

test('an allowance that another tab collected is used here', async () => {
  await visit();
  keep(SITE, { token: 'token' });
  otherTabWrote(SITE);
  assert.equal(session.model.allowed, true);
  await session.read();
  assert.equal(session.model.phase, 'unlocked');
});

test('after it was stopped no message is heard', async () => {
  await visit();
  session.read();
  const opened = page.windows[0];
  session.stop();
  await message({ type: 'bitcache:approved', code: 'code' }, SERVER, opened);
  assert.equal(made('POST allowances').length, 0);
});
