import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

const FOLDER = new URL('../src/', import.meta.url);
const read = (name) => readFileSync(new URL(name, FOLDER), 'utf8');
const modules = readdirSync(FOLDER).filter((name) => name.endsWith('.js'));
const languages = readdirSync(new URL('i18n/', FOLDER)).map((name) => `i18n/${name}`);
const gzip = (text) => gzipSync(text, { level: 9 }).length;
const BUDGET = 12_000;

/** The modules that a file needs before it runs: its static imports, and theirs. */
function needed(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, file] of read(name).matchAll(/^import .* from '\.\/([^']+)';$/gm)) {
    needed(file, found);
  }
  return found;
}

test('a page that shows the wall loads at most 12 kB, file by file, as HTTP sends them', () => {
  const first = [...needed('bitcache.js')];
  assert.ok(first.length > 5);
  const size = first.reduce((sum, name) => sum + gzip(read(name)), 0);
  assert.ok(size <= BUDGET, `${size} bytes in ${first.length} files`);
});

const later = {
  'what pays an invoice': [['invoices.js', 'live.js', 'payment.js', 'secret.js', 'view.js'], 5_200],
  'what Lightning adds': [['lightning.js', 'provider.js'], 2_800],
  'what pays with a wallet in the browser': [['webln.js'], 1_000],
  'what pays from the balance': [['allowance.js', 'balance.js', 'secret.js'], 5_200],
  'what asks the site that holds the content itself': [['elsewhere.js'], 1_500],
  'the form for a receipt code': [['restore.js'], 1_000],
};

test('what comes later is small, and nothing of it comes with the first load', () => {
  const first = needed('bitcache.js');
  const rest = modules.filter((name) => !first.has(name)).sort();
  const listed = Object.values(later).flatMap(([names]) => names);
  assert.deepEqual([...new Set(listed)].sort(), rest);
  for (const [what, [names, budget]] of Object.entries(later)) {
    const size = names.reduce((sum, name) => sum + gzip(read(name)), 0);
    assert.ok(size <= budget, `${what}: ${size} bytes`);
  }
});

test('a language is at most 2.7 kB', () => {
  for (const name of languages) assert.ok(gzip(read(name)) <= 2_700, `${name}: ${gzip(read(name))}`);
});

test('no module names a host, evaluates text or styles inline', () => {
  for (const name of [...modules, ...languages]) {
    const code = read(name);
    assert.doesNotMatch(code, /https?:\/\//, name);
    assert.doesNotMatch(code, /\beval\(|new Function|document\.write/, name);
    assert.doesNotMatch(code, /\.style\b|'style'|\.cssText|<style/, name);
  }
});

test('markup is parsed in one place only: where the paid content goes into the page', () => {
  const places = modules.filter((name) => /innerHTML|insertAdjacentHTML/.test(read(name)));
  assert.deepEqual(places, ['element.js']);
  assert.equal(read('element.js').match(/innerHTML/g).length, 1);
});
