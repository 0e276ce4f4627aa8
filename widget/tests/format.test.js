import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';

import { formatter, loadLanguage } from '../src/format.js';
import { words as en } from '../src/i18n/en.js';

const plain = (text) => text.replace(/[\u2068\u2069\u200f]/g, '').replace(/\s/g, ' ');
const f = formatter('en', en);

test('money follows the currency and the language', () => {
  const fiat = (currency, amount_minor, exponent) => ({ currency, amount_minor, exponent });
  assert.equal(plain(f.fiat(fiat('USD', 5, 2))), '$0.05');
  assert.equal(plain(f.fiat(fiat('JPY', 7, 0))), '¥7');
  assert.equal(plain(f.fiat(fiat('KWD', 15, 3))), 'KWD 0.015');
  assert.equal(plain(formatter('de', en).fiat(fiat('EUR', 500, 2))), '5,00 €');
});

test('sats have a plural and keep thousandths', () => {
  assert.equal(f.sats(1000), '1 sat');
  assert.equal(f.sats(5_000_000), '5,000 sats');
  assert.equal(f.sats(1500), '1.5 sats');
});

test('rate, age, clock and size', () => {
  assert.equal(plain(f.rate({ price_per_btc: '98123.40', currency: 'USD' })), '$98,123.4');
  assert.equal(plain(f.rate({ price_per_btc: '0.00000001', currency: 'USD' })), '$0.00000001');
  assert.equal(f.age(12), '12 seconds ago');
  assert.equal(f.age(-3), '0 seconds ago');
  assert.equal(f.age(600), '10 minutes ago');
  assert.equal(f.clock(899), '14:59');
  assert.equal(f.clock(0), '0:00');
  assert.equal(f.size(2_412_000), '2.4 MB');
  assert.equal(f.size(900), '0.9 kB');
});

test('every way in which a rail can fail is one sentence; an unknown code has one too', () => {
  assert.equal(f.error('e_node_unreachable'), en.e_rail_unavailable);
  assert.equal(f.error('e_addresses_exhausted'), en.e_rail_unavailable);
  assert.equal(f.error('e_rail_error'), en.e_rail_unavailable);
  assert.equal(f.error('e_lightning_unreachable'), en.e_rail_unavailable);
  assert.equal(f.error('e_lnurl_refused'), en.e_rail_unavailable);
  assert.equal(f.error('e_no_inbound_room'), en.e_no_inbound_room);
  assert.equal(f.error('e_something_new'), en.e_internal_error);
  assert.equal(f.error('e_rate_limited'), en.e_rate_limited);
});

const files = readdirSync(new URL('../src/i18n/', import.meta.url));
for (const file of files) {
  test(`${file} says all that English says, with the same values`, async () => {
    const { words } = await import(`../src/i18n/${file}`);
    assert.deepEqual(Object.keys(words).sort(), Object.keys(en).sort());
    assert.match(words.dir, /^(ltr|rtl)$/);
    const plurals = new Intl.PluralRules(file.slice(0, -3)).resolvedOptions().pluralCategories;
    for (const [key, text] of Object.entries(words)) {
      const forms = typeof text === 'string' ? [text] : Object.values(text);
      assert.ok(forms.every((form) => form.trim()), `${key} is empty`);
      if (typeof text === 'object') {
        assert.ok(text.other, `${key} has no "other"`);
        assert.deepEqual(Object.keys(text).filter((form) => !plurals.includes(form)), []);
        continue;
      }
      const names = (sentence) => (sentence.match(/\{\w+\}/g) ?? []).sort();
      assert.deepEqual(names(text), names(en[key]), `${key} has other values`);
    }
  });
}

test('a language without a file, or a malformed one, falls back', async () => {
  assert.equal((await loadLanguage('de-CH')).say('copy'), 'Kopieren');
  assert.equal((await loadLanguage('DE')).say('copy'), 'Kopieren');
  assert.equal((await loadLanguage('xx')).say('copy'), 'Copy');
  assert.equal((await loadLanguage('de_AT')).lang, 'de-AT');
  for (const lang of ['../../x', 'x-klingon', 'en-US-US', 'notalanguage', '']) {
    const found = await loadLanguage(lang);
    assert.equal(found.say('copy'), 'Copy', lang);
    assert.equal(plain(found.fiat({ currency: 'USD', amount_minor: 5, exponent: 2 })), '$0.05');
  }
});
