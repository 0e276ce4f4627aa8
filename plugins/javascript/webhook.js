/**
 * Webhooks as a site's server takes them (https://www.standardwebhooks.com/).
 */

/** How old a webhook may be, and how far in the future. */
const TOLERANCE_S = 300;

/** The request is not from Bitcache, was changed, or is too old. Answer 400. */
export class WebhookRefused extends Error {
  /** @param {string} detail */
  constructor(detail) {
    super(detail);
    this.name = 'WebhookRefused';
  }
}

/**
 * Return the event of a webhook request, after its signature and age were checked.
 *
 * An event may come more than once: its `webhook-id` header is the same then. Throws
 * WebhookRefused.
 *
 * @param {string} secret Begins with `whsec_`.
 * @param {Headers | Record<string, string | undefined>} headers
 * @param {string} body The body exactly as it came.
 * @param {number} [nowS]
 * @returns {Promise<Record<string, any>>}
 */
export async function readWebhook(secret, headers, body, nowS = Date.now() / 1000) {
  const read = (/** @type {string} */ name) =>
    (headers instanceof Headers ? headers.get(name) : headers[name]) ?? '';
  const id = read('webhook-id');
  const timestamp = read('webhook-timestamp');
  if (!id || !/^\d{1,12}$/.test(timestamp)) throw new WebhookRefused('A header is missing.');
  if (Math.abs(nowS - Number(timestamp)) > TOLERANCE_S) throw new WebhookRefused('It is too old.');
  const key = await crypto.subtle.importKey(
    'raw',
    bytes(secret.replace(/^whsec_/, '')),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['verify'],
  );
  const signed = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
  for (const one of read('webhook-signature').split(' ')) {
    const [version, signature] = one.split(',');
    if (version !== 'v1' || !signature) continue;
    if (await crypto.subtle.verify('HMAC', key, bytes(signature), signed)) return JSON.parse(body);
  }
  throw new WebhookRefused('No signature fits.');
}

/** @param {string} base64 @returns {Uint8Array<ArrayBuffer>} */
function bytes(base64) {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    throw new WebhookRefused('That is no base64.');
  }
}
