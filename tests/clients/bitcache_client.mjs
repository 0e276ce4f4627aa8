// The client of plugins/javascript against a server: prints what it got as lines of JSON.
import { ApiError, Client, readWebhook, Unreachable } from '../../plugins/javascript/bitcache.js';

const [url, secret, itemId, webhook] = process.argv.slice(2);
const print = (value) => console.log(JSON.stringify(value));

const lost = { answers: 2, keys: [] };
/** A network that loses the first answers: the server has done what was asked. */
async function losing(address, options) {
  const answer = await fetch(address, options);
  if (options.method === 'POST') lost.keys.push(options.headers['Idempotency-Key']);
  if (options.method === 'POST' && lost.answers > 0) {
    lost.answers -= 1;
    throw new TypeError('connection reset');
  }
  return answer;
}

const pauses = [];
const pause = async (ms) => void pauses.push(ms);
const client = new Client(url, secret, { fetch: losing, pause });
const order = await client.createOrder({
  reference: 'js-1',
  currency: 'USD',
  lines: [{ title: 'A print', unit_minor: 250 }],
  total_minor: 250,
});
const orders = [];
for await (const one of client.listOrders()) orders.push(one.id);
print({ order: order.id, orders, keys: lost.keys, pauses: pauses.length });

const items = [];
for await (const item of client.listItems()) items.push(item.id);
print({ item: (await client.readItem(itemId)).id, items, network: (await client.readDiscovery()).network });

try {
  await new Client(url, 'bcsk_wrong').listItems().next();
} catch (error) {
  print({ refused: error instanceof ApiError, code: error.code, status: error.status });
}
try {
  await new Client('http://127.0.0.1:1', secret, { attempts: 2, pause }).createOrder({}, 'mine');
} catch (error) {
  print({ unreachable: error instanceof Unreachable, key: error.key });
}

const { secret: hookSecret, headers, body } = JSON.parse(webhook);
const event = await readWebhook(hookSecret, headers, body);
const refusals = [];
for (const wrong of [
  [hookSecret, headers, `${body} `],
  [hookSecret, { ...headers, 'webhook-timestamp': '1' }, body],
  [hookSecret, {}, body],
  ['whsec_AAAA', headers, body],
]) {
  refusals.push(await readWebhook(...wrong).then(() => 'taken', (error) => error.name));
}
print({ event, refusals });
