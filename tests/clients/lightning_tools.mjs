// `@getalby/lightning-tools` asks a Lightning address for an invoice, prints it, waits for a
// line on stdin, and prints whether it was paid: node lightning_tools.mjs ADDRESS SATS COMMENT
import { createInterface } from 'node:readline/promises';
import { LightningAddress } from '@getalby/lightning-tools/lnurl';

const [address, sats, comment] = process.argv.slice(2);
const wallet = new LightningAddress(address, { proxy: false });
await wallet.fetch();
const invoice = await wallet.requestInvoice({ satoshi: Number(sats), comment });
const say = (what) => console.log(JSON.stringify(what));
say({
  invoice: invoice.paymentRequest,
  hash: invoice.paymentHash,
  sats: invoice.satoshi,
  message: invoice.successAction?.message,
  paid: await invoice.verifyPayment(),
});
const input = createInterface({ input: process.stdin });
await input[Symbol.asyncIterator]().next();
const paid = await invoice.verifyPayment();
say({ paid, preimage: invoice.preimage, valid: invoice.validatePreimage(invoice.preimage ?? '') });
input.close();
