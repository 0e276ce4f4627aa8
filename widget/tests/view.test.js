import assert from 'node:assert/strict';
import { test } from 'node:test';

import { btc, invoiceView } from '../src/view.js';
import { anInvoice } from './browser.js';

const payment = (confirmations, required, state = 'seen') => ({
  rail: 'onchain',
  amount_msat: 5_000_000,
  confirmations,
  confirmations_required: required,
  state,
});

test('sats become the number of bitcoin that wallets take', () => {
  assert.equal(btc(5000), '0.00005');
  assert.equal(btc(1), '0.00000001');
  assert.equal(btc(10), '0.0000001');
  assert.equal(btc(100_000_000), '1');
  assert.equal(btc(120_000_000), '1.2');
  assert.equal(btc(2_100_000_000_000_001), '21000000.00000001');
});

const NAMES = [
  ['an open invoice waits', {}, 'waiting'],
  ['too little money', { received_msat: 3e6, missing_msat: 2e6 }, 'underpaid'],
  ['enough, unconfirmed', { state: 'seen', payments: [payment(0, 1)] }, 'seen'],
  ['enough, one of three', { state: 'seen', payments: [payment(1, 3, 'confirmed')] }, 'confirming'],
  ['paid', { state: 'paid' }, 'paid'],
  ['paid too much', { state: 'paid', credit_msat: 6e6 }, 'paid'],
  ['no money in time', { state: 'expired' }, 'expired'],
  ['late, but too little', { state: 'expired', credit_msat: 3e6 }, 'expired'],
  ['late and enough', { state: 'expired', credit_msat: 5e6 }, 'credit'],
];
for (const [what, changes, name] of NAMES) {
  test(`${what}: ${name}`, () => assert.equal(invoiceView(anInvoice(changes)).name, name));
}

test("the credit has to cover today's price", () => {
  const late = anInvoice({ state: 'expired', credit_msat: 5e6 });
  assert.equal(invoiceView(late, 5_000_001).name, 'expired');
  assert.equal(invoiceView(late, 4_000_000).name, 'credit');
  assert.equal(invoiceView(late, null).name, 'credit');
});

test('the payment that is furthest from final decides', () => {
  const payments = [payment(2, 3, 'confirmed'), payment(1, 3, 'confirmed'), payment(0, 3, 'removed')];
  const view = invoiceView(anInvoice({ state: 'seen', payments }));
  assert.deepEqual([view.confirmations, view.required], [1, 3]);
});

test('what is missing is rounded up to the sat, and the code is shown only when it fits', () => {
  const short = { received_msat: 3_000_500, missing_msat: 1_999_500 };
  const view = invoiceView(anInvoice(short));
  assert.equal(view.dueSat, 2000);
  assert.equal(view.qrFits, false);
  assert.equal(view.uri, 'bitcoin:bc1qexample?amount=0.00002');

  const [request] = anInvoice().requests;
  const uri = 'bitcoin:bc1qexample?amount=0.00002&label=x';
  const requests = [{ ...request, amount_sat: 2000, uri }];
  const fitting = invoiceView(anInvoice({ ...short, requests }));
  assert.equal(fitting.qrFits, true);
  assert.equal(fitting.uri, uri);
});

test('a payment that was taken back is told', () => {
  const view = invoiceView(anInvoice({ payments: [payment(0, 0, 'removed')] }));
  assert.equal(view.name, 'waiting');
  assert.equal(view.removed, true);
  assert.equal(invoiceView(anInvoice()).removed, false);
});
