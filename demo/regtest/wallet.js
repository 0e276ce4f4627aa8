/* Lets bcoin's wallet answer like Bitcoin Core's: several wallets by path, payouts in
 * steps (fund, sign, send), locks, and transactions that lost against others. */
'use strict';

const bio = require('bufio');
const Amount = require('bcoin/lib/btc/amount');
const HTTP = require('bcoin/lib/node/http');
const NodeRPC = require('bcoin/lib/node/rpc');
const Address = require('bcoin/lib/primitives/address');
const MTX = require('bcoin/lib/primitives/mtx');
const Output = require('bcoin/lib/primitives/output');
const WalletNodeClient = require('bcoin/lib/wallet/nodeclient');
const WalletRPC = require('bcoin/lib/wallet/rpc');
const TXDB = require('bcoin/lib/wallet/txdb');
const { RPCError } = require('bweb');

const COINBASE_MATURITY = 100;
const REPLACEABLE = 0xfffffffd; // BIP 125
const internalHash = (txid) => Buffer.from(txid, 'hex').reverse().toString('hex');
const btc = (sat) => Amount.btc(sat, true);

// Return from sendtoaddress when the transaction is in the mempool, as Core does.
WalletNodeClient.prototype.send = async function (tx) { await this.node.sendTX(tx); };
const { getNewAddress } = WalletRPC.prototype;
WalletRPC.prototype.getNewAddress = async function (args, help) {
  return getNewAddress.call(this, ['default'], help);
};

// bcoin's wallet reads blocks and transactions a little later than the node; Core's does not.
async function caughtUp({ client, wdb }) {
  const { chain } = client.node;
  for (let waited = 0; wdb.state.height !== chain.height && waited < 10000; waited += 5) {
    await new Promise((next) => setTimeout(next, 5));
  }
  const unlock = await wdb.txLock.lock(); // behind all transactions that it was told of
  unlock();
}
for (const name of ['sendToAddress', 'getBalance', 'listLockUnspent']) {
  const call = WalletRPC.prototype[name];
  WalletRPC.prototype[name] = async function (args, help) {
    await caughtUp(this);
    return call.call(this, args, help);
  };
}

/* Payouts in steps. */

// bcoin knows no Taproot addresses (BIP 350); it sends to version 1 in the form of BIP 173.
const BECH32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
function knownToBcoin(address) {
  if (!address.startsWith('bcrt1p')) return address;
  const bits = Array.from(address.slice(6, -6), (c) => BECH32.indexOf(c).toString(2).padStart(5, '0')).join('');
  const hash = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  return Address.fromHash(hash, Address.types.WITNESS, 1).toString('regtest');
}
// Core takes a list of {address: amount}; bcoin one object.
const { createRawTransaction } = NodeRPC.prototype;
NodeRPC.prototype.createRawTransaction = async function ([inputs, outputs, ...rest], help) {
  const sendTo = {};
  for (const [address, amount] of [].concat(outputs).flatMap(Object.entries)) {
    const known = knownToBcoin(address);
    if (known in sendTo) throw new RPCError(-8, `Invalid parameter, duplicated address: ${address}`);
    sendTo[known] = Number(amount); // Core takes a text as well
  }
  if (inputs.length > 0) return createRawTransaction.call(this, [inputs, sendTo, ...rest], help);
  const nobody = { txid: '00'.repeat(32), vout: 0 };
  const hex = await createRawTransaction.call(this, [[nobody], sendTo, ...rest], help);
  return writeBare(MTX.fromRaw(hex, 'hex'));
};
// bcoin neither writes nor reads a transaction without inputs.
function writeBare(tx) {
  const writer = bio.write();
  writer.writeU32(tx.version);
  writer.writeVarint(0);
  writer.writeVarint(tx.outputs.length);
  for (const output of tx.outputs) output.toWriter(writer);
  writer.writeU32(tx.locktime);
  return writer.render().toString('hex');
}
function readBare(hex) {
  const reader = bio.read(Buffer.from(hex, 'hex'));
  const tx = new MTX({ version: reader.readU32() });
  if (reader.readVarint() !== 0) throw new RPCError(-8, 'Only transactions without inputs');
  for (let count = reader.readVarint(); count > 0; count -= 1) tx.outputs.push(Output.fromReader(reader));
  tx.locktime = reader.readU32();
  return tx;
}
WalletRPC.prototype.fundRawTransaction = async function ([hex, options = {}]) {
  await caughtUp(this);
  const tx = readBare(hex);
  try {
    // "smart" is what Core does: confirmed coins and own change.
    await this.wallet.fund(tx, { rate: Math.round(Number(options.fee_rate) * 1000), smart: true });
  } catch (err) {
    if (err.type === 'FundingError') throw new RPCError(-4, 'Insufficient funds');
    throw err;
  }
  if (tx.changeIndex !== -1) {
    const [change] = tx.outputs.splice(tx.changeIndex, 1);
    tx.changeIndex = options.changePosition ?? tx.changeIndex;
    tx.outputs.splice(tx.changeIndex, 0, change);
  }
  if (options.replaceable) for (const input of tx.inputs) input.sequence = REPLACEABLE;
  return { hex: tx.toRaw().toString('hex'), changepos: tx.changeIndex, fee: btc(tx.getFee()) };
};
async function signRawTransactionWithWallet([hex]) {
  await caughtUp(this);
  const tx = MTX.fromRaw(hex, 'hex');
  tx.view = await this.wallet.getCoinView(tx);
  await this.wallet.sign(tx);
  return { hex: tx.toRaw().toString('hex'), complete: tx.isSigned() };
}

/* Coins. */

const { listUnspent, lockUnspent } = WalletRPC.prototype;
WalletRPC.prototype.listUnspent = async function (args, help) {
  await caughtUp(this);
  const { height } = this.wdb.state;
  const immature = (await this.wallet.getCoins())
    .filter((coin) => coin.coinbase && coin.getDepth(height) <= COINBASE_MATURITY)
    .map((coin) => `${coin.txid()}:${coin.index}`);
  const leftOut = new Set(immature);
  const coins = await listUnspent.call(this, args.slice(0, 3), help);
  return coins.filter((coin) => coin.spendable && !leftOut.has(`${coin.txid}:${coin.vout}`));
};
WalletRPC.prototype.lockUnspent = async function ([unlock, outputs], help) {
  if (!unlock) await caughtUp(this);
  for (const { txid, vout } of unlock ? [] : outputs) {
    const credit = await this.wallet.txdb.getCredit(internalHash(txid), vout);
    if (!credit || credit.spent) throw new RPCError(-8, 'Invalid parameter, expected unspent output');
  }
  return lockUnspent.call(this, outputs ? [unlock, outputs] : [unlock], help);
};

/* Transactions that lost: Core keeps them and says how deep the winner is; bcoin deletes them. */

const { removeConflicts, removeRecursive } = TXDB.prototype;
const lostIn = (txdb) => { txdb.lost = txdb.lost || new Map(); return txdb.lost; };
TXDB.prototype.removeConflicts = async function (tx, confirmed) {
  this.winner = tx;
  try {
    const done = await removeConflicts.call(this, tx, confirmed);
    if (done) lostIn(this).delete(tx.hash('hex'));
    return done;
  } finally {
    this.winner = null;
  }
};
TXDB.prototype.removeRecursive = async function (wtx) {
  const { winner } = this;
  const details = await removeRecursive.call(this, wtx);
  if (winner) lostIn(this).set(wtx.hash, { tx: wtx.tx, winner, fee: details.getFee() });
  return details;
};
const coinsOf = (tx) => tx.inputs.map(({ prevout }) => `${prevout.hash}:${prevout.index}`);
const spendTheSame = (one, other) => coinsOf(one).some((coin) => coinsOf(other).includes(coin));

// bcoin's own gettransaction reads a fee that nobody set.
const { toDetails } = TXDB.prototype;
TXDB.prototype.toDetails = async function (wtx) {
  const details = await toDetails.call(this, wtx);
  return details && Object.assign(details, { fee: details.getFee() });
};
const { getTransaction } = WalletRPC.prototype;
WalletRPC.prototype.getTransaction = async function ([txid], help) {
  await caughtUp(this);
  const { wallet } = this;
  const lost = lostIn(wallet.txdb);
  const hash = internalHash(txid);
  const conflictsOf = (tx, others) => others
    .filter((other) => other.txid() !== txid && spendTheSame(tx, other)).map((other) => other.txid());
  const losers = Array.from(lost.values(), ({ tx }) => tx);
  const known = await wallet.getTX(hash);
  if (known) {
    const details = await wallet.toDetails(known);
    const json = await getTransaction.call(this, [txid], help);
    json.confirmations = known.getDepth(this.wdb.state.height);
    if (details.inputs.some((member) => member.path)) json.fee = -btc(details.fee);
    json.walletconflicts = conflictsOf(known.tx, losers);
    return json;
  }
  if (!lost.has(hash)) throw new RPCError(-5, 'Invalid or non-wallet transaction id');
  const { tx, fee } = lost.get(hash);
  let { winner } = lost.get(hash);
  while (lost.has(winner.hash('hex'))) ({ winner } = lost.get(winner.hash('hex')));
  const record = await wallet.getTX(winner.hash('hex'));
  const depth = record ? record.getDepth(this.wdb.state.height) : 0;
  return {
    txid,
    hex: tx.toRaw().toString('hex'),
    fee: -btc(fee),
    confirmations: depth > 0 ? -depth : 0,
    walletconflicts: conflictsOf(tx, [winner, ...losers]),
  };
};

/* Several wallets: Core answers for each at /wallet/<name>. */

const noWallet = {
  call: async (body) => {
    const error = { code: -18, message: 'Requested wallet does not exist or is not loaded' };
    const answers = [].concat(body).map(({ id }) => ({ result: null, error, id }));
    return Array.isArray(body) ? answers : answers[0];
  },
};
const { jsonRPC } = HTTP.prototype;
HTTP.prototype.jsonRPC = function () {
  const plain = jsonRPC.call(this);
  return async (req, res) => {
    const [, name] = req.pathname.match(/^\/wallet\/(.+)$/) || [];
    if (!name) return plain(req, res);
    req.pathname = '/';
    const rpc = await rpcOf(this.node, decodeURIComponent(name));
    return jsonRPC.call(this, rpc || noWallet)(req, res);
  };
};
async function rpcOf(node, name) {
  const plugin = node.require('walletdb');
  const wallet = await plugin.wdb.get(name);
  if (!wallet) return null;
  const own = new WalletRPC(plugin);
  own.wallet = wallet;
  const rpc = Object.create(node.rpc);
  rpc.calls = { ...node.rpc.calls, ...callsBeside(node.rpc.calls, own, node.rpc.walletCalls) };
  return rpc;
}
function callsBeside(taken, rpc, names) {
  rpc.add('signrawtransactionwithwallet', signRawTransactionWithWallet, rpc);
  const chosen = names || Object.keys(rpc.calls).filter((name) => !taken[name]);
  return Object.fromEntries(chosen.map((name) => [name, rpc.calls[name].bind(rpc)]));
}

/* Puts the wallet's calls beside the node's; where both have one, the node's stays. */
exports.addTo = (node) => {
  const plugin = node.require('walletdb');
  const calls = callsBeside(node.rpc.calls, plugin.rpc);
  node.rpc.walletCalls = Object.keys(calls);
  Object.assign(node.rpc.calls, calls);
  node.rpc.add('createwallet', async ([name]) => {
    await plugin.wdb.create({ id: name, witness: true });
    return { name, warning: '' };
  });
};
