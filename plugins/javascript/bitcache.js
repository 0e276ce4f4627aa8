/**
 * A client of the Bitcache API for servers: price, sell, refund, be told. No dependencies;
 * Node.js 20 or newer, Deno, Bun and workers have what it needs.
 *
 * Amounts are whole numbers in the unit of their names; times are seconds since 1970. What is
 * sent and what comes back is described in the server's /openapi.json.
 *
 * @typedef {import('./calls.js').Body} Body
 */

import { Calls } from './calls.js';

export { ApiError, Unreachable } from './calls.js';
export { readWebhook, WebhookRefused } from './webhook.js';

/**
 * A Bitcache server, with the secret of a site or an API key.
 *
 * Calls that change something take `key`, an idempotency key: the same key is the same call,
 * however often it is sent. Without one a new key is made and kept through the retries.
 */
export class Client extends Calls {
  // What is sold.

  /** Add an item, or change the one with the same `external_id`. @param {Body} item @param {string} [key] */
  createItem(item, key) {
    return this._once('/v1/items', item, key);
  }
  /** Return an item as readers see it. @param {string} itemId */
  readItem(itemId) {
    return this._get(`/v1/items/${part(itemId)}`);
  }
  /** Return the site's items, newest first. */
  listItems() {
    return this._all('/v1/items', 'items', {});
  }

  // Orders.

  /** Ask a customer for money; send them to the order's `url`. @param {Body} order @param {string} [key] */
  createOrder(order, key) {
    return this._once('/v1/orders', order, key);
  }
  /** Return an order with its invoices. @param {string} orderId */
  readOrder(orderId) {
    return this._get(`/v1/orders/${part(orderId)}`);
  }
  /** Return the site's orders, newest first. @param {{ state?: string }} [filter] */
  listOrders(filter = {}) {
    return this._all('/v1/orders', 'orders', filter);
  }
  /** Take an order back that nobody has paid. @param {string} orderId @param {string} [key] */
  cancelOrder(orderId, key) {
    return this._once(`/v1/orders/${part(orderId)}/cancel`, undefined, key);
  }

  // Invoices, sales, refunds.

  /** Ask for the price of an item. @param {Body} invoice @param {string} [key] */
  createInvoice(invoice, key) {
    return this._once('/v1/invoices', invoice, key);
  }
  /** Return an invoice as it is now. @param {string} invoiceId */
  readInvoice(invoiceId) {
    return this._get(`/v1/invoices/${part(invoiceId)}`);
  }
  /** Return the site's invoices, newest first. */
  listInvoices() {
    return this._all('/v1/invoices', 'invoices', {});
  }
  /**
   * Return the site's sales, newest first.
   * @param {{ since?: number, until?: number, item?: string, rail?: string, state?: string,
   *   buyer?: string }} [filter]
   */
  listSales(filter = {}) {
    return this._all('/v1/sales', 'sales', filter);
  }
  /** Give a purchase back. @param {Body} refund @param {string} [key] */
  createRefund(refund, key) {
    return this._once('/v1/refunds', refund, key);
  }

  // Money.

  /** Return what the operator owes the merchant, and on what terms. */
  readBalance() {
    return this._get('/v1/balance');
  }
  /** Return what happened in the merchant's account, newest first. */
  readStatement() {
    return this._all('/v1/statement', 'lines', {});
  }
  /** Ask for a payout to the stored destination. @param {Body} [payout] @param {string} [key] */
  requestPayout(payout = {}, key) {
    return this._once('/v1/payouts', payout, key);
  }
  /** Return the merchant's payouts, newest first. */
  listPayouts() {
    return this._all('/v1/payouts', 'payouts', {});
  }

  // Webhooks.

  /** Have events sent to an address; the secret is in this answer alone. @param {Body} endpoint */
  createWebhookEndpoint(endpoint) {
    return this._post('/v1/webhook-endpoints', endpoint);
  }
  /** Return all endpoints, oldest first. */
  async listWebhookEndpoints() {
    return (await this._get('/v1/webhook-endpoints')).endpoints;
  }
  /** Change an endpoint. @param {string} endpointId @param {Body} change */
  updateWebhookEndpoint(endpointId, change) {
    return this._post(endpoint(endpointId), change);
  }
  /** Send nothing there any more. @param {string} endpointId */
  deleteWebhookEndpoint(endpointId) {
    return this._post(endpoint(endpointId, '/delete'), {});
  }
  /** Give an endpoint a new secret. @param {string} endpointId @param {Body} [change] */
  rotateWebhookSecret(endpointId, change = {}) {
    return this._post(endpoint(endpointId, '/rotate'), change);
  }
  /** Send an event of the type `test`. @param {string} endpointId */
  sendTestEvent(endpointId) {
    return this._post(endpoint(endpointId, '/test'), {});
  }
  /** Send one event or a range once more. @param {string} endpointId @param {Body} which */
  replayEvents(endpointId, which) {
    return this._post(endpoint(endpointId, '/replay'), which);
  }
  /** Return what happened, newest first. @param {{ type?: string }} [filter] */
  listEvents(filter = {}) {
    return this._all('/v1/events', 'events', filter);
  }

  /** Return the site whose secret this is, and what signs its grants. */
  readSite() {
    return this._get('/v1/site');
  }
  /** Return what the server offers, and where. */
  readDiscovery() {
    return this._get('/.well-known/bitcache');
  }
}

/** @param {string} text */
function part(text) {
  return encodeURIComponent(text);
}

/** @param {string} endpointId @param {string} [below] */
function endpoint(endpointId, below = '') {
  return `/v1/webhook-endpoints/${part(endpointId)}${below}`;
}
