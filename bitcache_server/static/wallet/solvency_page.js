// The page around the proof of solvency: fetches, checks, says what was found.
import { ProofError, sats, verify } from './solvency.js';

const button = /** @type {HTMLButtonElement} */ (document.getElementById('check'));
const result = /** @type {HTMLElement} */ (document.getElementById('result'));
const facts = /** @type {HTMLElement} */ (document.getElementById('facts'));

/** @param {string} path */
async function read(path) {
  const answer = await fetch(path, { cache: 'no-store' });
  const body = await answer.json();
  if (!answer.ok) throw new ProofError(body.detail ?? body.title ?? 'The server does not answer.');
  return body;
}

/**
 * @param {string} words
 * @param {boolean} good
 */
function say(words, good) {
  result.textContent = words;
  result.className = good ? 'notice' : 'notice failed';
  result.hidden = false;
}

/** @param {[string, string][]} rows */
function show(rows) {
  facts.replaceChildren(
    ...rows.flatMap(([name, value]) => {
      const label = document.createElement('p');
      const line = document.createElement('p');
      const code = document.createElement('code');
      label.className = 'fine tight';
      label.textContent = name;
      code.textContent = value;
      line.append(code);
      return [label, line];
    }),
  );
  facts.hidden = false;
}

async function check() {
  if (!globalThis.crypto?.subtle) {
    throw new ProofError('This browser computes hashes only on pages with https.');
  }
  const [report, proof] = await Promise.all([read('/v1/solvency'), read('/wallet/solvency/proof')]);
  const root = await verify(proof, report);
  say(
    `Right: your ${sats(BigInt(proof.sum_msat))} are in the published total of ` +
      `${sats(root.total_msat)}.`,
    true,
  );
  show([
    ['Your leaf’s nonce', proof.nonce],
    ['Neighbours on the way', String(proof.path.length)],
    ['Root hash, worked out here', root.root_hash],
  ]);
}

button.addEventListener('click', async () => {
  button.disabled = true;
  facts.hidden = true;
  try {
    await check();
  } catch (error) {
    const known = error instanceof ProofError;
    say(known ? error.message : 'The check could not run: the server does not answer.', false);
  } finally {
    button.disabled = false;
  }
});
button.hidden = false;
