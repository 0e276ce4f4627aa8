import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { storage } from './browser.js';
const { Store } = await import('../src/store.js');

let name = 0;
const open = (changed) => new Store(`bitcache:test:${name}`, changed);

beforeEach(() => {
  name += 1;
  storage.blocked = false;
});

test('what is written is there for the next visit', () => {
  open().write({ invoice: 'in_1', verifier: 'v' });
  const store = open();
  store.update({ grant: 'g' });
  assert.deepEqual(open().read(), { invoice: 'in_1', verifier: 'v', grant: 'g' });
  assert.equal(store.persistent, true);
});

test('where storage is blocked the page remembers, and says so', () => {
  storage.blocked = true;
  const store = open();
  store.write({ invoice: 'in_1', verifier: 'v' });
  assert.equal(store.read().invoice, 'in_1');
  assert.equal(store.persistent, false);
});

test('rubbish in the storage is as good as nothing', () => {
  for (const rubbish of ['{', 'null', '0', '']) {
    storage.items.set(`bitcache:test:${name}`, rubbish);
    assert.deepEqual(open().read(), {});
  }
});

test('beginning anew keeps earlier codes, the newest five', () => {
  const store = open();
  for (let i = 1; i <= 7; i += 1) {
    store.update({ invoice: `in_${i}`, verifier: `v${i}` });
    store.reset(true);
  }
  assert.deepEqual(
    store.read().older.map((code) => code.invoice),
    ['in_7', 'in_6', 'in_5', 'in_4', 'in_3'],
  );
  store.update({ invoice: 'in_8', verifier: 'v8', grant: 'g' });
  store.reset(false, 'in_6');
  assert.deepEqual(
    store.read().older.map((code) => code.invoice),
    ['in_7', 'in_5', 'in_4', 'in_3'],
  );
  assert.equal(store.read().grant, undefined);
});

test('another wall for the same item hears of it; the writer and other items do not', () => {
  const heard = [];
  const first = open(() => heard.push('first'));
  const second = open(() => heard.push('second'));
  const other = new Store('bitcache:test:other', () => heard.push('other'));
  first.write({ invoice: 'in_1', verifier: 'v' });
  assert.deepEqual(heard, ['second']);
  second.close();
  first.write({});
  assert.deepEqual(heard, ['second']);
  first.close();
  other.close();
});
