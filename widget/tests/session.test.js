import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { beforeEach, mock, test } from 'node:test';

import { anInvoice, clock, settle, storage, streams, visibility } from './browser.js';
const { Session } = await import('../src/session.js');
const { challengeOf } = await import('../src/secret.js');
const { restore } = await import('../src/restore.js');

const SERVER = 'https://pay.example';
const NAME = `bitcache:${SERVER}:it_1`;
const ITEM = {
  id: 'it_1',
  kind: 'article',
  title: 'Title',
  price: { amount_msat: 5_000_000, fiat: null, rate: null },
  policy: { type: 'forever', hours: null, downloads: null },
  file: null,
  rails: ['onchain'],
};
const CLAIM = { grant: 'grant', receipt: 'receipt', item: 'it_1', expires_at: null };

/** @type {Record<string, any>} answers by "METHOD path"; a string is an error's code */
let answers;
let calls;
let events;
let session;

const fetcher = async (url, { method, headers, body }) => {
  const call = `${method} ${url.slice(SERVER.length + 4)}`;
  calls.push({ call, key: headers.get('Idempotency-Key'), grant: headers.get('Authorization'), body });
  let answer = answers[call];
  if (typeof answer === 'function') answer = answer(JSON.parse(body));
  if (answer === undefined) throw new TypeError('Failed to fetch');
  if (typeof answer === 'string') return Response.json({ code: answer }, { status: 400 });
  return Response.json(answer);
};

const visit = async () => {
  session?.stop();
  events = [];
  session = new Session('it_1', SERVER, () => {}, (name, detail) => events.push([name, detail]), fetcher);
  await session.load();
  await settle();
  return session;
};
const made = (call) => calls.filter((one) => one.call === call);
const saved = () => JSON.parse(storage.items.get(NAME) ?? '{}');

beforeEach(() => {
  session?.stop();
  clock.install();
  storage.blocked = false;
  storage.items.clear();
  visibility.hidden = false;
  // The page's memory is the module's: what an earlier test left there goes too.
  session?.store.write({});
  storage.items.clear();
  calls = [];
  answers = {
    'GET items/it_1': ITEM,
    'POST invoices': anInvoice(),
    'GET invoices/in_1': anInvoice(),
    'POST invoices/in_1/claim': CLAIM,
    'GET content/it_1': { html: '<p>paid</p>' },
  };
});

test('the challenge is the hash of the verifier, without padding', async () => {
  const expected = createHash('sha256').update('abc').digest('base64url');
  assert.equal(await challengeOf('abc'), expected);
});

test('looking costs the server one read', async () => {
  await visit();
  assert.equal(session.model.phase, 'offer');
  assert.deepEqual(calls.map((one) => one.call), ['GET items/it_1']);
});

test('the secret is saved before the invoice is asked for', async () => {
  await visit();
  let before;
  answers['POST invoices'] = () => {
    before = saved();
    return anInvoice();
  };
  await session.pay();
  assert.match(before.verifier, /^[\w-]{43}$/);
  assert.equal(saved().invoice, 'in_1');
  const { challenge } = JSON.parse(made('POST invoices')[0].body);
  assert.equal(challenge, createHash('sha256').update(before.verifier).digest('base64url'));
});

test('a double click makes one invoice', async () => {
  await visit();
  await Promise.all([session.pay(), session.pay(), session.pay()]);
  assert.equal(made('POST invoices').length, 1);
});

test('a lost answer is asked for again with the same key and challenge', async () => {
  await visit();
  delete answers['POST invoices'];
  await session.pay();
  assert.equal(session.model.phase, 'error');
  assert.equal(session.model.error, 'offline');
  answers['POST invoices'] = anInvoice();
  await session.retry();
  await settle();
  const [first, second] = made('POST invoices');
  assert.equal(session.model.phase, 'invoice');
  assert.equal(first.key, second.key);
  assert.equal(first.body, second.body);
});

test('a key that the server knows for something else is replaced, once', async () => {
  storage.items.set(NAME, JSON.stringify({ verifier: 'v'.repeat(43), key: 'old' }));
  await visit();
  answers['POST invoices'] = () => (made('POST invoices').length === 1 ? 'idempotency_conflict' : anInvoice());
  await session.pay();
  const [first, second] = made('POST invoices');
  assert.equal(first.key, 'old');
  assert.notEqual(second.key, 'old');
  assert.equal(session.model.phase, 'invoice');
});

test('money that has arrived is claimed for as long as it takes', async () => {
  await visit();
  await session.pay();
  delete answers['POST invoices/in_1/claim'];
  streams.at(-1).send(anInvoice({ state: 'paid' }));
  await settle();
  assert.equal(session.model.offline, true);
  assert.equal(session.model.invoice.state, 'paid');
  answers['POST invoices/in_1/claim'] = 'storage_busy';
  clock.tick(1000);
  await settle();
  answers['POST invoices/in_1/claim'] = CLAIM;
  clock.tick(2000);
  await settle();
  assert.equal(session.model.phase, 'unlocked');
  assert.equal(session.model.html, '<p>paid</p>');
  assert.deepEqual(events.map(([name]) => name), ['paid', 'unlocked']);
});

test('the next visit goes straight to the content', async () => {
  storage.items.set(NAME, JSON.stringify({ grant: 'g', kind: 'article', invoice: 'in_1', verifier: 'v' }));
  await visit();
  assert.deepEqual(calls.map((one) => one.call), ['GET content/it_1']);
  assert.equal(calls[0].grant, 'Bearer g');
  assert.equal(session.model.receiptCode, 'in_1.v');
});

for (const code of ['grant_invalid', 'grant_expired', 'grant_revoked', 'grant_missing']) {
  test(`${code}: another grant is claimed with the saved secret`, async () => {
    storage.items.set(NAME, JSON.stringify({ grant: 'g', kind: 'article', invoice: 'in_1', verifier: 'v' }));
    answers['GET content/it_1'] = code;
    answers['POST invoices/in_1/claim'] = () => {
      answers['GET content/it_1'] = { html: 'new' };
      return CLAIM;
    };
    await visit();
    assert.equal(session.model.html, 'new');
    assert.equal(saved().grant, 'grant');
  });
}

test('access that has ended for good is sold again', async () => {
  storage.items.set(NAME, JSON.stringify({ grant: 'g', kind: 'article', invoice: 'in_1', verifier: 'v' }));
  answers['GET content/it_1'] = 'grant_expired';
  await visit();
  assert.equal(session.model.phase, 'offer');
  assert.equal(session.model.notice, 'note_ended');
  assert.equal(made('POST invoices/in_1/claim').length, 1);
});

test('a fresh grant that the server does not accept loses nothing', async () => {
  storage.items.set(NAME, JSON.stringify({ grant: 'g', kind: 'article', invoice: 'in_1', verifier: 'v' }));
  answers['GET content/it_1'] = 'grant_invalid';
  await visit();
  assert.equal(session.model.phase, 'error');
  assert.equal(saved().verifier, 'v');
});

test('a payment that a reorganisation took back is shown as it is', async () => {
  storage.items.set(NAME, JSON.stringify({ grant: 'g', kind: 'article', invoice: 'in_1', verifier: 'v' }));
  answers['GET content/it_1'] = 'grant_revoked';
  answers['POST invoices/in_1/claim'] = 'invoice_not_paid';
  await visit();
  assert.equal(session.model.phase, 'invoice');
  assert.equal(session.model.invoice.state, 'open');
});

test('an invoice that the server has forgotten leads back to the offer', async () => {
  storage.items.set(NAME, JSON.stringify({ invoice: 'in_1', verifier: 'v' }));
  answers['GET invoices/in_1'] = 'unknown_invoice';
  await visit();
  assert.equal(session.model.phase, 'offer');
});

test('late money on an earlier code is found while a newer one waits', async () => {
  storage.items.set(NAME, JSON.stringify({ invoice: 'in_1', verifier: 'v1' }));
  answers['GET invoices/in_1'] = anInvoice({ state: 'expired' });
  await visit();
  answers['POST invoices'] = anInvoice({ id: 'in_2' });
  await session.newCode();
  assert.deepEqual(saved().older, [{ invoice: 'in_1', verifier: 'v1' }]);
  answers['GET invoices/in_1'] = anInvoice({ state: 'expired', credit_msat: 5_000_000 });
  clock.tick(20_000);
  await settle();
  assert.equal(session.model.invoice.id, 'in_1');
  assert.equal(saved().older[0].invoice, 'in_2');
  answers['POST invoices/in_1/redeem'] = CLAIM;
  await session.redeem();
  assert.equal(session.model.phase, 'unlocked');
});

for (const left of [0, 700_000, undefined]) {
  test(`of credit that was used, ${left} msat are shown as what is left`, async () => {
    const credit = (msat) => anInvoice({ state: 'expired', credit_msat: msat });
    answers['POST invoices'] = credit(5_000_000 + left || 5_000_000);
    await visit();
    await session.pay();
    answers['POST invoices/in_1/redeem'] = () => {
      // Without an answer, nothing is said about credit.
      answers['GET invoices/in_1'] = left === undefined ? undefined : credit(left);
      return CLAIM;
    };
    await session.redeem();
    assert.equal(session.model.phase, 'unlocked');
    assert.equal(session.model.invoice?.credit_msat, left);
  });
}

test('a receipt code opens the item here; a wrong one changes nothing', async () => {
  storage.items.set(NAME, JSON.stringify({ invoice: 'in_1', verifier: 'mine' }));
  await visit();
  answers['GET invoices/in_9'] = anInvoice({ id: 'in_9', state: 'paid' });
  answers['POST invoices/in_9/claim'] = 'verifier_mismatch';
  await restore(session, 'in_9.wrong');
  assert.equal(session.model.restoreError, 'restore_bad');
  assert.equal(saved().verifier, 'mine');

  answers['POST invoices/in_9/claim'] = ({ verifier }) => (verifier === 'right' ? CLAIM : 'verifier_mismatch');
  await restore(session, ' in_9.\n right ');
  assert.equal(session.model.phase, 'unlocked');
  assert.deepEqual([saved().invoice, saved().verifier], ['in_9', 'right']);
  assert.equal(saved().older[0].verifier, 'mine');
});

test("a receipt code of another item is told from a wrong one", async () => {
  await visit();
  answers['GET invoices/in_9'] = anInvoice({ id: 'in_9', item: 'it_2', state: 'paid' });
  await restore(session, 'in_9.right');
  assert.equal(session.model.restoreError, 'restore_other');
  await restore(session, 'nonsense');
  assert.equal(session.model.restoreError, 'e_offline');
});

test('a file is opened by a link; an old grant is renewed on the way', async () => {
  storage.items.set(NAME, JSON.stringify({ grant: 'g', kind: 'file', invoice: 'in_1', verifier: 'v' }));
  answers['GET items/it_1'] = { ...ITEM, kind: 'file' };
  await visit();
  assert.equal(session.model.phase, 'unlocked');
  answers['POST files/it_1/link'] = 'grant_expired';
  answers['POST invoices/in_1/claim'] = () => {
    answers['POST files/it_1/link'] = { url: '/files/x' };
    return CLAIM;
  };
  const urls = [];
  await session.download((url) => urls.push(url));
  assert.deepEqual(urls, ['https://pay.example/files/x']);
});

test('the code of an error reaches the page, and nothing else does', async () => {
  answers['GET items/it_1'] = 'unknown_item';
  await visit();
  assert.deepEqual(events, [['error', { item: 'it_1', code: 'unknown_item' }]]);
});

test('without a secure context the reader is told before anything is made', async () => {
  await visit();
  mock.getter(globalThis, 'crypto', () => ({ getRandomValues: (bytes) => bytes }));
  await session.pay();
  mock.restoreAll();
  assert.equal(session.model.error, 'insecure_context');
  assert.equal(made('POST invoices').length, 0);
});

test('after it was stopped nothing is shown or followed', async () => {
  await visit();
  const paying = session.pay();
  session.stop();
  const opened = streams.length;
  await paying;
  assert.equal(streams.length, opened);
  assert.equal(session.model.phase, 'offer');
});
