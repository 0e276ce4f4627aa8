// The net as a test wants it: connections to one name reach a port of this machine, as a line
// in /etc/hosts and a forwarded port would do. The clients themselves are as they were
// published. Use: BITCACHE_HOST=pay.example BITCACHE_PORT=1234 node --import ./network.mjs …
import tls from 'node:tls';

const { BITCACHE_HOST: host, BITCACHE_PORT: port } = process.env;
if (!host || !port) throw new Error('Set BITCACHE_HOST and BITCACHE_PORT.');
const connect = tls.connect;

tls.connect = (options, ...rest) =>
  options?.host === host || options?.hostname === host
    ? connect({ ...options, host: '127.0.0.1', port: Number(port), servername: host }, ...rest)
    : connect(options, ...rest);
