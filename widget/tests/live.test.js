import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { anInvoice, clock, settle, streams, visibility } from './browser.js';
const { follow, pollDelay } = await import('../src/live.js');

let loads;
let seen;
let offline;
let answer;

const start = () =>
  follow(
    'https://pay.example/events',
    async () => {
      loads += 1;
      return answer();
    },
    (invoice) => seen.push(invoice.state),
    (value) => offline.push(value),
  );

const pass = async (ms) => {
  clock.tick(ms);
  await settle();
};

beforeEach(() => {
  clock.install();
  loads = 0;
  seen = [];
  offline = [];
  answer = () => anInvoice();
  visibility.hidden = false;
});

test('polls slow down from one to fifteen seconds', () => {
  assert.equal(pollDelay(0, 0), 1000);
  assert.ok(pollDelay(3, 0) > pollDelay(2, 0));
  assert.equal(pollDelay(50, 0), 15_000);
  for (const tries of [0, 3, 50]) {
    assert.ok(pollDelay(tries, 0.999) >= 0.87 * pollDelay(tries, 0));
    assert.ok(pollDelay(tries, 0.999) < pollDelay(tries, 0));
  }
});

test('while events come, nothing is polled', async () => {
  const stop = start();
  streams.at(-1).send(anInvoice({ state: 'seen' }));
  await pass(60_000);
  assert.deepEqual(seen, ['seen']);
  assert.equal(loads, 0);
  stop();
});

test('an event stream that fails is replaced by polls, and replaces them again', async () => {
  const stop = start();
  streams.at(-1).send(anInvoice());
  streams.at(-1).fail();
  await pass(1000);
  assert.equal(loads, 1);
  await pass(120_000);
  const polled = loads;
  assert.ok(polled >= 2);
  streams.at(-1).send(anInvoice({ state: 'paid' }));
  await pass(120_000);
  assert.equal(loads, polled);
  stop();
});

test('reconnects that fail faster than the pause do not put the poll off for ever', async () => {
  const stop = start();
  for (let i = 0; i < 20; i += 1) {
    streams.at(-1).fail();
    await pass(3000);
  }
  assert.ok(loads >= 4, `${loads} polls in a minute`);
  stop();
});

test('a silent stream does not leave the reader waiting', async () => {
  const stop = start();
  await pass(4000);
  assert.equal(loads, 1);
  assert.deepEqual(seen, ['open']);
  stop();
});

test('no answer is told, and tried again', async () => {
  answer = () => Promise.reject(new Error('offline'));
  const stop = start();
  await pass(4000);
  answer = () => anInvoice({ state: 'paid' });
  await pass(15_000);
  assert.deepEqual(offline, [true, false]);
  assert.deepEqual(seen, ['paid']);
  stop();
});

test('a hidden page asks nothing; it asks at once when it comes back', async () => {
  const stop = start();
  visibility.hidden = true;
  visibility.dispatchEvent(new Event('visibilitychange'));
  assert.equal(streams.at(-1).closed, true);
  await pass(120_000);
  assert.equal(loads, 0);
  visibility.hidden = false;
  visibility.dispatchEvent(new Event('visibilitychange'));
  assert.equal(streams.at(-1).closed, false);
  await pass(0);
  assert.equal(loads, 1);
  stop();
});

test('after the end there is no stream, no poll and no late answer', async () => {
  let finish;
  answer = () => new Promise((done) => (finish = done));
  const stop = start();
  await pass(4000);
  stop();
  finish(anInvoice({ state: 'paid' }));
  const opened = streams.length;
  visibility.dispatchEvent(new Event('visibilitychange'));
  await pass(120_000);
  assert.equal(streams.at(-1).closed, true);
  assert.equal(streams.length, opened);
  assert.equal(loads, 1);
  assert.deepEqual(seen, []);
});
