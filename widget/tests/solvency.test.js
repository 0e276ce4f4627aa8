import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { ProofError, rootOf, sats, verify } from '../../bitcache_server/static/wallet/solvency.js';

const file = new URL('../../tests/vectors/solvency.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8'));

/** What the server publishes of a vector. */
function published({ proof, root_hash, total_msat }) {
  return { format: proof.format, id: proof.report, root_hash, total_msat: Number(total_msat) };
}

test('every valid proof leads to the root and the total, exact to the msat', async () => {
  assert.ok(vectors.valid.length > 10);
  for (const { name, proof, root_hash, total_msat } of vectors.valid) {
    const root = await rootOf(proof);
    assert.deepEqual(root, { root_hash, total_msat: BigInt(total_msat) }, name);
  }
});

test('no invalid proof is accepted', async () => {
  assert.ok(vectors.invalid.length > 15);
  for (const one of vectors.invalid) {
    await assert.rejects(verify(one.proof, published(one)), ProofError, one.name);
  }
});

test('a proof is compared with what is published', async () => {
  const one = vectors.valid.find(({ name }) => name === 'five readers, leaf 3');
  const report = published(one);
  await verify(one.proof, report);
  const wrong = [
    { root_hash: '00'.repeat(32) },
    { total_msat: report.total_msat - 1 },
    { total_msat: report.total_msat + 1 },
    { total_msat: '1' },
    { id: 'sr_other' },
    { format: 'bitcache.solvency.v2' },
  ];
  for (const change of wrong) {
    await assert.rejects(verify(one.proof, { ...report, ...change }), ProofError);
  }
  await assert.rejects(verify({ ...one.proof, format: 'x' }, report), ProofError);
});

test('a total that no JavaScript number holds is never taken for right', async () => {
  const big = vectors.valid.find(({ name }) => name.startsWith('beyond'));
  await assert.rejects(verify(big.proof, published(big)), ProofError);
});

test('amounts are written exactly', () => {
  assert.equal(sats(0n), '0 sats');
  assert.equal(sats(1n), '0.001 sats');
  assert.equal(sats(1_234_567_890n), '1,234,567.89 sats');
  assert.equal(sats(21_000_000_00000000_000n), '2,100,000,000,000,000 sats');
});
