// What an invoice means for its reader.
/** @import { Invoice, InvoiceView, ViewName } from './types' */

/** 5000 is 0.00005. */
export const btc = (sat = 0) => (sat / 1e8).toFixed(8).replace(/\.?0+$/, '');

/** @type {(invoice: Invoice, priceMsat: number, confirmations: number) => ViewName} */
const nameOf = ({ state, credit_msat, received_msat, missing_msat }, priceMsat, confirmations) => {
  if (state === 'paid') return 'paid';
  if (state === 'seen') return confirmations ? 'confirming' : 'seen';
  if (credit_msat && credit_msat >= priceMsat) return 'credit';
  if (state === 'expired') return 'expired';
  return received_msat && missing_msat ? 'underpaid' : 'waiting';
};

/** @type {(invoice: Invoice, priceMsat?: number | null) => InvoiceView} */
export const invoiceView = (invoice, priceMsat) => {
  const { amount_msat, missing_msat, payments } = invoice;
  const slowest = payments
    .filter(({ state }) => state !== 'removed')
    .sort((a, b) => a.confirmations - b.confirmations)[0];
  const confirmations = slowest?.confirmations ?? 0;
  const name = nameOf(invoice, priceMsat ?? amount_msat, confirmations);
  const request = invoice.requests.find(({ address }) => address);
  const dueSat = Math.ceil((name === 'underpaid' ? missing_msat : amount_msat) / 1000);
  const qrFits = request?.amount_sat === dueSat;
  return {
    name,
    dueSat,
    request,
    qrFits,
    uri: qrFits ? request.uri : `bitcoin:${request?.address}?amount=${btc(dueSat)}`,
    confirmations,
    required: slowest?.confirmations_required ?? 0,
    removed: name === 'waiting' && payments.some(({ state }) => state === 'removed'),
  };
};
