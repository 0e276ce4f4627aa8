import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { aLightningInvoice, clock, dispatch, settle, streams } from './browser.js';
import { answers, calls, ITEM, kept, made, NAME, session, visit } from './one_click.js';

let number = 0;
let bolt11;
/** A wallet that writes down what it is asked; a test says how it answers. */
let wallet;

const newWallet = () => ({
  asked: [],
  answer: () => ({ preimage: '00' }),
  async enable() {
    this.asked.push('enable');
  },
  async sendPayment(invoice) {
    this.asked.push(invoice);
    return this.answer();
  },
});
const invoice = (changes = {}) => {
  const made = aLightningInvoice(changes);
  made.requests[0].bolt11 = bolt11;
  return made;
};
const click = async () => {
  await session.wallet.click();
  await settle();
};
const never = new Promise(() => {});
const lastStream = () => streams.at(-1);

beforeEach(() => {
  delete globalThis.webln;
  wallet = newWallet();
  // A page remembers what it has asked for; each test has an invoice of its own.
  bolt11 = `lnbc50u1example${(number += 1)}`;
  answers['GET items/it_1'] = { ...ITEM, balance: null, rails: ['lightning', 'onchain'] };
  answers['POST invoices'] = () => invoice();
  answers['GET invoices/in_1'] = () => invoice();
  answers['POST invoices/in_1/claim'] = { grant: 'grant', receipt: 'receipt', item: 'it_1' };
});

test('one call asks for every rail on offer', async () => {
  await visit();
  await session.pay();
  assert.equal(made('POST invoices')[0].body.rail, 'any');
  assert.equal(session.model.invoice.requests[0].bolt11, bolt11);
});

test('without a wallet there is none to click; without Lightning none is looked for', async () => {
  await visit();
  assert.equal(session.wallet, undefined);
  globalThis.webln = wallet;
  answers['GET items/it_1'] = { ...ITEM, rails: ['onchain'] };
  await visit();
  clock.tick(5_000);
  await settle();
  assert.equal(session.wallet, undefined);
});

for (const name of ['webln:ready', 'webln:enabled', 'bc:connected']) {
  test(`a wallet that comes later is seen: ${name}`, async () => {
    await visit();
    globalThis.webln = wallet;
    dispatch(new Event(name));
    await settle();
    assert.equal(session.model.wallet, true);
    delete globalThis.webln;
    dispatch(new Event('bc:disconnected'));
    await settle();
    assert.equal(session.model.wallet, false);
    assert.deepEqual(wallet.asked, []);
  });
}

test('a wallet that comes and goes without an event is seen within a second', async () => {
  await visit();
  globalThis.webln = wallet;
  clock.tick(1_000);
  await settle();
  assert.equal(session.model.wallet, true);
  globalThis.webln = { enable() {} };
  clock.tick(1_000);
  await settle();
  assert.equal(session.model.wallet, false);
});

test('a session that has ended looks for nothing', async () => {
  await visit();
  session.stop();
  globalThis.webln = wallet;
  clock.tick(3_000);
  await settle();
  assert.equal(session.wallet, undefined);
});

test('one click pays; the wallet is not touched before', async () => {
  globalThis.webln = wallet;
  await visit();
  assert.deepEqual(wallet.asked, []);
  await click();
  assert.deepEqual(wallet.asked, ['enable', bolt11]);
  assert.equal(made('POST invoices').length, 1);
});

test('what the wallet says opens nothing, what the server says does', async () => {
  globalThis.webln = wallet;
  await visit();
  await click();
  assert.deepEqual(session.model.sending, { invoice: 'in_1', state: 'sent' });
  assert.equal(session.model.phase, 'invoice');
  assert.equal(made('POST invoices/in_1/claim').length, 0);
  lastStream().send(invoice({ state: 'paid' }));
  await settle();
  assert.equal(session.model.phase, 'unlocked');
});

test('the server may be faster than the wallet', async () => {
  wallet.answer = () => never;
  globalThis.webln = wallet;
  await visit();
  void session.wallet.click();
  await settle();
  assert.equal(session.model.sending.state, 'asking');
  lastStream().send(invoice({ state: 'paid' }));
  await settle();
  assert.equal(session.model.phase, 'unlocked');
});

test('many clicks are one payment', async () => {
  globalThis.webln = wallet;
  await visit();
  await Promise.all([session.wallet.click(), session.wallet.click(), session.wallet.click()]);
  await click();
  assert.deepEqual(wallet.asked, ['enable', bolt11]);
  assert.equal(made('POST invoices').length, 1);
});

for (const [words, state] of [
  ['User rejected', 'refused'],
  ['Prompt was closed', 'refused'],
  ['no route', 'failed'],
]) {
  test(`"${words}" is ${state}, and the reader can try again with the same invoice`, async () => {
    wallet.answer = () => {
      throw new Error(words);
    };
    globalThis.webln = wallet;
    await visit();
    await click();
    assert.equal(session.model.sending.state, state);
    assert.equal(session.model.phase, 'invoice');
    wallet.answer = () => ({});
    await click();
    assert.deepEqual(wallet.asked, ['enable', bolt11, 'enable', bolt11]);
    assert.equal(session.model.sending.state, 'sent');
  });
}

test('a reader who does not let the page in has paid nothing', async () => {
  wallet.enable = async () => {
    throw new Error('User denied');
  };
  globalThis.webln = wallet;
  await visit();
  await click();
  assert.equal(session.model.sending.state, 'refused');
  assert.deepEqual(wallet.asked, []);
});

test('a wallet that goes in the middle is told', async () => {
  globalThis.webln = wallet;
  await visit();
  delete globalThis.webln;
  await click();
  assert.equal(session.model.sending.state, 'failed');
});

test('a wallet that hangs is told, not asked again, and may still pay', async () => {
  let answer;
  wallet.answer = () => new Promise((done) => (answer = done));
  globalThis.webln = wallet;
  await visit();
  void session.wallet.click();
  await settle();
  clock.tick(20_000);
  await settle();
  assert.equal(session.model.sending.state, 'slow');
  void session.wallet.click();
  await settle();
  assert.deepEqual(wallet.asked, ['enable', bolt11]);
  answer({});
  await settle();
  assert.equal(session.model.sending.state, 'sent');
});

test('a price that went up is shown before the wallet is asked', async () => {
  globalThis.webln = wallet;
  await visit();
  answers['POST invoices'] = () => invoice({ amount_msat: 5_000_001 });
  await click();
  assert.deepEqual(wallet.asked, []);
  assert.equal(session.model.phase, 'invoice');
  await click();
  assert.deepEqual(wallet.asked, ['enable', bolt11]);
});

test('what the wallet said is known after a reload, and does not reach the next code', async () => {
  globalThis.webln = wallet;
  await visit();
  await click();
  assert.equal(kept(NAME).sent, 'in_1');
  await visit();
  assert.deepEqual(session.model.sending, { invoice: 'in_1', state: 'sent' });
  await click();
  assert.deepEqual(wallet.asked, ['enable', bolt11]);
  lastStream().send(invoice({ state: 'expired' }));
  answers['POST invoices'] = () => invoice({ id: 'in_2' });
  answers['GET invoices/in_2'] = () => invoice({ id: 'in_2' });
  await session.newCode();
  assert.equal(kept(NAME).sent, undefined);
  assert.equal(session.model.invoice.id, 'in_2');
  assert.notEqual(session.model.sending.invoice, 'in_2');
});

test('an invoice without Lightning, or one that is over, is not sent to the wallet', async () => {
  globalThis.webln = wallet;
  await visit();
  answers['POST invoices'] = () => aLightningInvoice({ requests: [{ ...aLightningInvoice().requests[0], bolt11: null, address: 'bc1q' }] });
  await click();
  assert.deepEqual(wallet.asked, []);
  lastStream().send(invoice({ state: 'expired' }));
  await click();
  assert.deepEqual(wallet.asked, []);
  assert.equal(calls.filter(({ call }) => call === 'POST invoices').length, 1);
});
