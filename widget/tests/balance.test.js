import assert from 'node:assert/strict';
import { test } from 'node:test';

import { clock, otherTabWrote, page, settle } from './browser.js';
import { answers, approve, BOUGHT, events, ITEM, keep, kept, made, NAME, session, SITE, visit } from './one_click.js';

test('a fiat price may move by five per cent, one in sats by nothing', async () => {
  keep(SITE, { token: 'token' });
  answers['GET items/it_1'] = { ...ITEM, price: { ...ITEM.price, fiat: { currency: 'USD' } } };
  await visit();
  await session.read();
  assert.equal(made('POST unlocks')[0].body.max_amount_msat, 5_250_000);
});

test('a double click buys once', async () => {
  keep(SITE, { token: 'token' });
  await visit();
  await Promise.all([session.read(), session.read(), session.read()]);
  assert.equal(made('POST unlocks').length, 1);
});

test('the key is saved before it is used, and leads a retry to the same purchase', async () => {
  keep(SITE, { token: 'token' });
  await visit();
  let before;
  answers['POST unlocks'] = () => {
    before ??= kept(NAME).unlock;
    return made('POST unlocks').length < 3 ? undefined : BOUGHT;
  };
  const reading = session.read();
  await settle();
  assert.equal(session.model.offline, true);
  clock.tick(1_000);
  await settle();
  clock.tick(2_000);
  await reading;
  assert.equal(session.model.phase, 'unlocked');
  assert.equal(session.model.offline, false);
  assert.deepEqual(made('POST unlocks').map((one) => one.key), [before, before, before]);
});

test('without any answer the reader can try again with the same key', async () => {
  keep(SITE, { token: 'token' });
  await visit();
  delete answers['POST unlocks'];
  const reading = session.read();
  for (let i = 0; i < 10; i += 1) {
    await settle();
    clock.tick(10_000);
  }
  await reading;
  assert.equal(session.model.error, 'offline');
  answers['POST unlocks'] = BOUGHT;
  await session.retry();
  assert.equal(session.model.phase, 'unlocked');
  assert.equal(new Set(made('POST unlocks').map((one) => one.key)).size, 1);
});

for (const code of ['purchase_ended', 'idempotency_conflict']) {
  test(`${code}: the old key is over, a new one buys`, async () => {
    keep(SITE, { token: 'token' });
    keep(NAME, { unlock: 'old' });
    await visit();
    answers['POST unlocks'] = ({ key }) => (key === 'old' ? code : BOUGHT);
    await session.read();
    assert.equal(session.model.phase, 'unlocked');
    assert.equal(made('POST unlocks').length, 2);
  });
}

const WORDS = {
  insufficient_balance: ['note_small', 'top_up', true],
  allowance_exceeded: ['note_limits', 'raise', true],
  allowance_revoked: ['note_permit', undefined, false],
  allowance_expired: ['note_permit', undefined, false],
  allowance_invalid: ['note_permit', undefined, false],
  unknown_allowance: ['note_permit', undefined, false],
  unknown_wallet: ['note_permit', undefined, false],
  price_changed: ['note_price', undefined, true],
};

for (const [code, [notice, label, allowed]] of Object.entries(WORDS)) {
  test(`${code} is put into words, and the next click helps`, async () => {
    keep(SITE, { token: 'token' });
    await visit();
    answers['POST unlocks'] = code;
    await session.read();
    await settle();
    assert.deepEqual(
      [session.model.phase, session.model.notice, session.model.label, session.model.allowed],
      ['offer', notice, label, allowed],
    );
    answers['POST unlocks'] = BOUGHT;
    await session.read();
    if (code === 'price_changed') {
      assert.equal(made('GET items/it_1').length, 2);
    } else {
      assert.equal(page.windows.length, 1);
      await approve();
      assert.equal(session.model.label, undefined);
    }
    assert.equal(session.model.phase, 'unlocked');
  });
}

test('prices under the limit open without a click, and say so to the server', async () => {
  keep(SITE, { token: 'token', auto: 5_000_000 });
  await visit();
  await settle();
  assert.equal(made('POST unlocks')[0].body.auto, true);
  assert.equal(session.model.phase, 'unlocked');
});

test('a dearer price waits for the click', async () => {
  keep(SITE, { token: 'token', auto: 4_999_999 });
  await visit();
  assert.equal(made('POST unlocks').length, 0);
});

for (const code of ['insufficient_balance', 'allowance_exceeded', 'allowance_revoked']) {
  test(`${code} without a click leaves the offer as it is, and is tried once`, async () => {
    keep(SITE, { token: 'token', auto: 5_000_000 });
    answers['POST unlocks'] = code;
    await visit();
    await settle();
    assert.deepEqual([session.model.phase, session.model.notice, session.model.label], ['offer', '', undefined]);
    assert.equal(made('POST unlocks').length, 1);
    assert.equal(session.model.allowed, code !== 'allowance_revoked');
  });
}

test('what was owned before tells no balance', async () => {
  keep(SITE, { token: 'token' });
  await visit();
  const untold = { charged_msat: 0, balance_msat: null, gift_msat: null, undo_until: null };
  answers['POST unlocks'] = { ...BOUGHT, ...untold, outcome: 'owned' };
  await session.read();
  assert.equal(session.model.phase, 'unlocked');
  assert.deepEqual(session.model.spent, { charged_msat: 0, left_msat: null });
});

test('undo gives the money back, and the item does not open by itself again', async () => {
  keep(SITE, { token: 'token', auto: 5_000_000 });
  await visit();
  await settle();
  answers['POST unlocks/undo'] = { item: 'it_1', refunded_msat: 5_000_000, balance_msat: 0, gift_msat: 0 };
  await session.balance.undo();
  await settle();
  assert.deepEqual(made('POST unlocks/undo')[0].body, { item: 'it_1' });
  assert.deepEqual([session.model.phase, session.model.notice], ['offer', 'note_undone']);
  assert.deepEqual(events.at(-1), ['refunded', { item: 'it_1', refunded_msat: 5_000_000 }]);
  assert.equal(kept(NAME).grant, undefined);
  await visit();
  await settle();
  assert.equal(session.model.phase, 'offer');
  await session.read();
  const [first, second] = made('POST unlocks');
  assert.notEqual(first.key, second.key);
});

test('undo is offered until its time is over, also after a reload', async () => {
  keep(SITE, { token: 'token' });
  await visit();
  await session.read();
  assert.ok(session.model.undo > Date.now());
  assert.ok(session.model.undo <= Date.now() + 60_000);
  await visit();
  await settle();
  assert.equal(session.model.phase, 'unlocked');
  assert.ok(session.model.undo);
  clock.tick(61_000);
  assert.equal(session.model.undo, 0);
});

test('an undo that comes too late, and one whose answer was lost', async () => {
  keep(SITE, { token: 'token' });
  await visit();
  await session.read();
  answers['POST unlocks/undo'] = 'refund_not_offered';
  await session.balance.undo();
  assert.deepEqual([session.model.phase, session.model.notice, session.model.undo], ['unlocked', 'note_final', 0]);
  answers['POST unlocks/undo'] = () => (made('POST unlocks/undo').length === 2 ? undefined : 'already_refunded');
  const undoing = session.balance.undo();
  await settle();
  clock.tick(1_000);
  await undoing;
  assert.equal(session.model.phase, 'offer');
});

test('a second tab shuts what was undone in the first', async () => {
  keep(SITE, { token: 'token' });
  await visit();
  await session.read();
  keep(NAME, { undone: true });
  otherTabWrote(NAME);
  await settle();
  assert.equal(session.model.phase, 'offer');
});

test('a grant that is refused is had again for nothing, or the offer comes back', async () => {
  keep(SITE, { token: 'token' });
  keep(NAME, { grant: 'old', kind: 'article' });
  answers['GET content/it_1'] = ({ grant }) => (grant === 'Bearer old' ? 'grant_invalid' : { html: 'new' });
  await visit();
  assert.equal(session.model.html, 'new');
  assert.equal(made('POST unlocks')[0].body.max_amount_msat, 0);

  keep(NAME, { grant: 'old', kind: 'article' });
  answers['GET content/it_1'] = 'grant_expired';
  answers['POST unlocks'] = 'price_changed';
  await visit();
  assert.deepEqual([session.model.phase, session.model.notice], ['offer', 'note_ended']);
  assert.equal(kept(NAME).grant, undefined);
});

test('an invoice that was made before is watched on for late money', async () => {
  keep(SITE, { token: 'token' });
  await visit();
  keep(NAME, { invoice: 'in_1', verifier: 'v' });
  await session.read();
  assert.deepEqual(kept(NAME).older, [{ invoice: 'in_1', verifier: 'v' }]);
  assert.equal(session.model.receiptCode, '');
});
