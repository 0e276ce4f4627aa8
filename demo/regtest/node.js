#!/usr/bin/env node
/* Runs the npm package bcoin 1.0.2 as a regtest node that answers like Bitcoin Core.
 *
 *   node node.js --prefix=DIR --http-port=0 --api-key=PASSWORD [--memory=false]
 *
 * Prints "READY <port>" when the RPC answers. Node and wallet calls share that
 * port. Any bcoin option may be added, for example --index-tx=true. With
 * STOP_WITH_STDIN=1 in the environment it ends when its standard input does.
 * Made for tests and the demo: the wallet holds worthless coins. */
'use strict';

process.env.NODE_BACKEND = process.env.NODE_BACKEND || 'js'; // no native addon needed
process.title = 'bitcache-regtest';

const { regtest } = require('bcoin/lib/protocol/networks');
// bcoin 1.0.2 has prefixes of its own on regtest; these are Bitcoin Core's.
Object.assign(regtest.keyPrefix, {
  privkey: 0xef, xpubkey: 0x043587cf, xprivkey: 0x04358394, xpubkey58: 'tpub', xprivkey58: 'tprv',
});
Object.assign(regtest.addressPrefix, {
  pubkeyhash: 0x6f, scripthash: 0xc4, witnesspubkeyhash: 0x03, witnessscripthash: 0x28, bech32: 'bcrt',
});
Object.assign(regtest.block, { bip34height: 1, bip65height: 1, bip66height: 1 });
regtest.feeRate = 2000; // the wallet's fee, in sat for 1000 virtual bytes

require('bcoin').set('regtest');
const Chain = require('bcoin/lib/blockchain/chain');
const { thresholdStates } = require('bcoin/lib/blockchain/common');
const Amount = require('bcoin/lib/btc/amount');
const Mempool = require('bcoin/lib/mempool/mempool');
const FullNode = require('bcoin/lib/node/fullnode');
const NodeRPC = require('bcoin/lib/node/rpc');
const TX = require('bcoin/lib/primitives/tx');
const walletPlugin = require('bcoin/lib/wallet/plugin');
const { RPCError } = require('bweb');
const LevelDOWN = require('leveldown');
const walletCalls = require('./wallet');

const STALE_AFTER_S = 24 * 3600; // Core: a tip older than a day means initial block download
const internalHash = (txid) => Buffer.from(txid, 'hex').reverse().toString('hex');
const btc = (sat) => Amount.btc(sat, true);

// Core on regtest has SegWit and relative lock times from the first block.
Chain.prototype.getState = async function (prev, deployment) {
  return ['csv', 'segwit'].includes(deployment.name) ? thresholdStates.ACTIVE : thresholdStates.DEFINED;
};

// bcoin was written for leveldown 4, which had no prebuilt binaries for Node.js 20.
// Version 5 takes a bound of null for the text "null", and every range on disk is empty.
const { iterator } = LevelDOWN.prototype;
LevelDOWN.prototype.iterator = function (options) {
  const given = Object.entries(options).filter(([, value]) => value !== null);
  return iterator.call(this, Object.fromEntries(given));
};

/* Blocks and transactions: fields that Core has and bcoin lacks. */

async function withTrueConfirmations(rpc, entry, json) {
  // Core says -1 for a block that left the best chain; bcoin counts on as if it had not.
  if (!(await rpc.chain.isMainChain(entry))) Object.assign(json, { confirmations: -1, nextblockhash: null });
  return json;
}
const { headerToJSON, blockToJSON, txToJSON, scriptToJSON } = NodeRPC.prototype;
NodeRPC.prototype.headerToJSON = async function (entry) {
  return withTrueConfirmations(this, entry, await headerToJSON.call(this, entry));
};
NodeRPC.prototype.blockToJSON = async function (entry, block, details) {
  return withTrueConfirmations(this, entry, await blockToJSON.call(this, entry, block, details));
};
NodeRPC.prototype.txToJSON = function (tx, entry) {
  return Object.assign(txToJSON.call(this, tx, entry), { hex: tx.toRaw().toString('hex') });
};
NodeRPC.prototype.scriptToJSON = function (script, hex) {
  const json = scriptToJSON.call(this, script, hex);
  if (json.addresses.length === 1) [json.address] = json.addresses;
  return json;
};
const { getBlock, getBlockchainInfo, getMempoolInfo, getTXOut } = NodeRPC.prototype;
NodeRPC.prototype.getBlock = async function ([hash, verbosity = 1], help) {
  return getBlock.call(this, [hash, Number(verbosity) > 0, Number(verbosity) > 1], help);
};
NodeRPC.prototype.getBlockchainInfo = async function (args, help) {
  const age = Math.floor(Date.now() / 1000) - this.chain.tip.time;
  return Object.assign(await getBlockchainInfo.call(this, args, help), {
    initialblockdownload: age > STALE_AFTER_S,
  });
};
NodeRPC.prototype.getTXOut = async function (args, help) {
  const [txid, vout, withMempool = true] = args;
  if (withMempool && this.mempool.isSpent(internalHash(txid), vout)) return null; // as Core
  return getTXOut.call(this, args, help);
};

/* Mempool. */

NodeRPC.prototype.getMempoolInfo = async function (args, help) {
  const info = await getMempoolInfo.call(this, args, help);
  return Object.assign(info, { loaded: true, minrelaytxfee: info.mempoolminfee });
};
NodeRPC.prototype.entryToJSON = function (entry) {
  const ancestors = this.mempool.getAncestors(entry);
  const sum = (field) => ancestors.reduce((total, other) => total + other[field], entry[field]);
  return {
    vsize: entry.size,
    time: entry.time,
    height: entry.height,
    ancestorcount: ancestors.length + 1,
    ancestorsize: sum('size'),
    fees: { base: btc(entry.fee), modified: btc(entry.deltaFee), ancestor: btc(sum('fee')) },
    depends: this.mempool.getDepends(entry.tx).map(internalHash),
  };
};
NodeRPC.prototype.estimateSmartFee = async function ([target]) {
  const blocks = target >>> 0;
  const fee = this.fees ? this.fees.estimateFee(Math.min(Math.max(blocks, 1), 15), true) : 0;
  if (fee > 0) return { feerate: btc(fee), blocks };
  return { errors: ['Insufficient data or no feerate found'], blocks };
};
// bcoin acknowledges a transaction before checking it; Core answers with the verdict.
NodeRPC.prototype.sendRawTransaction = async function ([raw]) {
  let tx;
  try {
    tx = TX.fromRaw(String(raw), 'hex');
  } catch (err) {
    throw new RPCError(-22, 'TX decode failed. Make sure the tx has at least one input.');
  }
  if (this.mempool.hasEntry(tx.hash('hex'))) return tx.txid();
  if (await this.chain.hasCoins(tx)) throw new RPCError(-27, 'Transaction outputs already in utxo set');
  let missing;
  try {
    missing = await this.mempool.addTX(tx, -1);
  } catch (err) {
    if (err.type === 'VerifyError') throw new RPCError(-26, err.reason);
    throw err;
  }
  if (missing) {
    // Core does not keep a transaction whose inputs it refused to look for.
    this.mempool.removeOrphan(tx.hash('hex'));
    throw new RPCError(-25, 'bad-txns-inputs-missingorspent');
  }
  this.node.broadcast(tx);
  return tx.txid();
};

/* Reorganisations: Core puts the transactions of a block that left the chain back
 * into the mempool. bcoin forgets some of them, so all are offered again here. */

async function offerAgain(mempool, txs) {
  for (const tx of txs) {
    try {
      await mempool.addTX(tx, -1);
    } catch (err) {
      if (err.type !== 'VerifyError') throw err; // no longer valid on the new chain
    }
  }
}
const inMempool = (mempool) => Array.from(mempool.map.values(), (entry) => entry.tx);
Mempool.prototype._removeBlock = async function (entry, txs) {
  this.tip = entry.prevBlock;
  this.disconnected = txs.slice(1).concat(this.disconnected || []);
};
Mempool.prototype._handleReorg = async function () {
  const txs = (this.disconnected || []).concat(inMempool(this));
  this.disconnected = [];
  await this._reset();
  // The chain's lock is still held here, so this waits for the next turn.
  this.offering = new Promise((done) => setImmediate(done)).then(() => offerAgain(this, txs));
};
const { submitBlock } = NodeRPC.prototype;
NodeRPC.prototype.submitBlock = async function (args, help) {
  const verdict = await submitBlock.call(this, args, help);
  await this.mempool.offering;
  return verdict;
};
// bcoin forgets an invalidated block altogether; Core disconnects it and still knows it.
const invalidated = new Map(); // the block that was named, and those on top of it
NodeRPC.prototype.invalidateBlock = async function ([hash]) {
  const { chain, mempool } = this;
  const unlock = await chain.locker.lock();
  try {
    const entry = await chain.getEntry(internalHash(hash));
    if (!entry) throw new RPCError(-5, 'Block not found');
    if (!(await chain.isMainChain(entry))) throw new RPCError(-8, 'Only a block of the best chain');
    const branch = [];
    while (chain.tip.hash !== entry.prevBlock) {
      branch.push(chain.tip);
      chain.setInvalid(chain.tip.hash);
      await chain.disconnect(chain.tip);
    }
    invalidated.set(entry.hash, branch);
    await mempool._handleReorg();
  } finally {
    unlock();
  }
  await mempool.offering;
  return null;
};
NodeRPC.prototype.reconsiderBlock = async function ([hash]) {
  const { chain, mempool } = this;
  const unlock = await chain.locker.lock();
  try {
    const branch = invalidated.get(internalHash(hash)) || [];
    invalidated.delete(internalHash(hash));
    for (const entry of branch) chain.removeInvalid(entry.hash);
    const [tip] = branch;
    if (tip && tip.chainwork.gt(chain.tip.chainwork)) {
      await chain.reorganize(tip);
      await chain.reconnect(tip); // which bcoin's reorganize leaves to its caller
    }
  } finally {
    unlock();
  }
  await mempool.offering;
  return null;
};

/* Calls that bcoin does not have. */

async function testMempoolAccept([raws]) {
  const { mempool } = this;
  const verdicts = [];
  for (const raw of raws) {
    const tx = TX.fromRaw(raw, 'hex');
    const verdict = { txid: tx.txid(), allowed: false };
    verdicts.push(verdict);
    if (mempool.hasEntry(tx.hash('hex'))) {
      verdict['reject-reason'] = 'txn-already-in-mempool';
      continue;
    }
    try { // adds it, then takes it out again
      if (await mempool.addTX(tx, -1)) {
        mempool.removeOrphan(tx.hash('hex'));
        verdict['reject-reason'] = 'missing-inputs';
        continue;
      }
      const entry = mempool.getEntry(tx.hash('hex'));
      Object.assign(verdict, { allowed: true, vsize: entry.size, fees: { base: btc(entry.fee) } });
      mempool.evictEntry(entry);
    } catch (err) {
      verdict['reject-reason'] = err.reason || err.message;
    }
  }
  return verdicts;
}

function getTxSpendingPrevout([outpoints]) {
  return outpoints.map(({ txid, vout }) => {
    const spender = this.mempool.getSpent(internalHash(txid), vout);
    return spender ? { txid, vout, spendingtxid: spender.tx.txid() } : { txid, vout };
  });
}

// Not in Core, where a full mempool does it: drop a transaction and what spends it.
function forgetTransaction([txid]) {
  const entry = this.mempool.getEntry(internalHash(txid));
  if (!entry) throw new RPCError(-5, 'Transaction not in mempool.');
  this.mempool.evictEntry(entry);
  return null;
}

// Core's code for "there is no such block or transaction" is -5; bcoin's is -1.
const NOT_FOUND = new Set(['Block not found', 'Transaction not found.', 'Transaction not in mempool.']);
const { execute } = NodeRPC.prototype;
NodeRPC.prototype.execute = async function (json, help) {
  try {
    return await execute.call(this, json, help);
  } catch (err) {
    if (NOT_FOUND.has(err.message)) throw new RPCError(-5, err.message);
    throw err;
  }
};

function build() {
  const node = new FullNode({
    network: 'regtest', config: true, argv: true, env: true, logFile: false, logConsole: true,
    memory: true, workers: false, listen: false, loader: require, walletWitness: true, noAuth: false,
  });
  node.use(walletPlugin);
  const wallet = node.require('walletdb');
  // Its own HTTP server would only take a second port.
  wallet.http.open = async () => {};
  wallet.http.close = async () => {};
  walletCalls.addTo(node);
  node.rpc.add('testmempoolaccept', testMempoolAccept, node.rpc);
  node.rpc.add('gettxspendingprevout', getTxSpendingPrevout, node.rpc);
  node.rpc.add('forgettransaction', forgetTransaction, node.rpc);
  return node;
}

async function main() {
  const node = build();
  const stop = () => node.close().then(() => process.exit(0), () => process.exit(1));
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, stop);
  if (process.env.STOP_WITH_STDIN) process.stdin.once('end', stop).resume(); // no orphans
  await node.ensure();
  await node.open();
  node.http.http.keepAliveTimeout = 30000; // Core's rpcservertimeout; Node.js has 5 s
  console.log(`READY ${node.http.http.address().port}`);
}

process.on('unhandledRejection', (err) => { throw err; });
main().catch((err) => {
  console.error(err.stack);
  process.exit(1);
});
