// `lnurl-pay` asks a Lightning address for an invoice: node lnurl_pay.mjs ADDRESS SATS COMMENT
// Prints one line of JSON.
import { requestInvoice, utils } from 'lnurl-pay';

const [address, sats, comment] = process.argv.slice(2);
const made = await requestInvoice({
  lnUrlOrAddress: address,
  tokens: utils.toSats(Number(sats)),
  comment,
  validateInvoice: true,
});
console.log(
  JSON.stringify({
    invoice: made.invoice,
    description: made.params.description,
    identifier: made.params.identifier,
    validAmount: made.hasValidAmount,
    validHash: made.hasValidDescriptionHash,
    message: made.successAction?.message,
  }),
);
