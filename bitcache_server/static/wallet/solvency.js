// The proof of solvency, checked in the reader's own browser. The format is described in
// docs/solvency.md; tests/vectors/solvency.json holds what every implementation must find.

export const FORMAT = 'bitcache.solvency.v1';

/** All bitcoin there will ever be, in msat: a larger sum could only hide a negative one. */
const MAX_SUM_MSAT = 2_100_000_000_000_000_000n;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** @typedef {{ side: string, hash: string, sum_msat: string }} Sibling */
/**
 * @typedef {{ format: string, report: string, wallet: string, nonce: string, sum_msat: string,
 *   path: Sibling[] }} Proof
 */
/** @typedef {{ format: string, id: string, root_hash: string, total_msat: number }} Report */
/** @typedef {{ hash: Uint8Array<ArrayBuffer>, sum: bigint }} Node */

/** What is wrong with a proof, for people. */
export class ProofError extends Error {}

/**
 * @param {string} hex
 * @returns {Uint8Array<ArrayBuffer>}
 */
function bytes(hex) {
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new ProofError('A hash or nonce has not 32 bytes.');
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** @param {Uint8Array} data */
function hexOf(data) {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @param {string} text */
function amount(text) {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text)) throw new ProofError('A sum is no whole number.');
  return checked(BigInt(text));
}

/** @param {bigint} sum */
function checked(sum) {
  if (sum > MAX_SUM_MSAT) throw new ProofError('A sum is larger than there is bitcoin.');
  return sum;
}

/** @param {bigint} sum */
function number(sum) {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setBigUint64(0, sum);
  return data;
}

/** @param {Uint8Array[]} parts */
async function sha256(...parts) {
  const data = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', data));
}

/**
 * @param {Node} left
 * @param {Node} right
 * @returns {Promise<Node>}
 */
async function join(left, right) {
  const hash = await sha256(NODE, number(left.sum), left.hash, number(right.sum), right.hash);
  return { hash, sum: checked(left.sum + right.sum) };
}

/**
 * Return the root that a proof leads to.
 * @param {Proof} proof
 */
export async function rootOf(proof) {
  const sum = amount(proof.sum_msat);
  const wallet = new TextEncoder().encode(proof.wallet);
  /** @type {Node} */
  let node = { hash: await sha256(LEAF, bytes(proof.nonce), number(sum), wallet), sum };
  for (const { side, hash, sum_msat: text } of proof.path) {
    if (side !== 'left' && side !== 'right') throw new ProofError('A neighbour has no side.');
    const sibling = { hash: bytes(hash), sum: amount(text) };
    node = side === 'left' ? await join(sibling, node) : await join(node, sibling);
  }
  return { root_hash: hexOf(node.hash), total_msat: node.sum };
}

/**
 * Check that a wallet's balance is part of the published total. Throws a ProofError.
 * @param {Proof} proof
 * @param {Report} report
 */
export async function verify(proof, report) {
  if (proof.format !== FORMAT || report.format !== FORMAT) {
    throw new ProofError('This page does not know the form of the proof; reload it.');
  }
  if (proof.report !== report.id) {
    throw new ProofError('A new proof was published a moment ago; reload the page.');
  }
  const root = await rootOf(proof);
  if (root.root_hash !== report.root_hash) {
    throw new ProofError('Your balance does not lead to the published root.');
  }
  if (!Number.isSafeInteger(report.total_msat) || root.total_msat !== BigInt(report.total_msat)) {
    throw new ProofError('The published total is not the one that your balance is part of.');
  }
  return root;
}

/**
 * Write an amount in sats, exact to the msat.
 * @param {bigint} msat
 */
export function sats(msat) {
  const rest = (msat % 1000n).toString().padStart(3, '0').replace(/0+$/, '');
  const whole = (msat / 1000n).toString().replace(/\B(?=(\d{3})+$)/g, ',');
  return `${whole}${rest && '.'}${rest} sats`;
}
