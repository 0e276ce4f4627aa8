// Fetches an address with fetch402 of @getalby/lightning-tools; prints the answer as JSON.
//
//   node fetch402.mjs ADDRESS WALLET [TIMES]
//
// WALLET is an address that pays the invoice which is posted to it, and answers with the
// preimage. What was paid for once is used again, as the library wants it.
import { fetch402 } from '@getalby/lightning-tools/402';

const [address, purse, times = '1'] = process.argv.slice(2);
const paid = [];
const wallet = {
  payInvoice: async ({ invoice }) => {
    paid.push(invoice);
    const answer = await fetch(purse, { method: 'POST', body: invoice });
    return { preimage: await answer.text() };
  },
};

const answers = [];
let credentials;
for (let n = 0; n < Number(times); n += 1) {
  const answer = await fetch402(address, undefined, { wallet, credentials });
  credentials = answer.payment?.credentials ?? credentials;
  answers.push({ status: answer.status, body: await answer.text() });
}
console.log(JSON.stringify({ answers, paid }));
