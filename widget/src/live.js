// Server-sent events; polling that slows down while they fail. A hidden page asks
// nothing, and at once when it comes back.

/** 1 to 15 seconds, spread so that readers do not come in step. */
export const pollDelay = (tries = 0, random = Math.random()) =>
  Math.min(15_000, 1_000 * 1.5 ** tries) * (1 - random / 8);

/** @type {import('./types').Follow} */
export const follow = (url, load, onInvoice, onOffline) => {
  let timer = 0;
  let tries = 0;
  let round = 0;
  let ended = false;
  const quiet = () => {
    round += 1;
    clearTimeout(timer);
    timer = tries = 0;
  };
  const poll = async () => {
    const mine = round;
    const invoice = await load().catch(() => null);
    if (mine !== round) return;
    onOffline(!invoice);
    if (invoice) onInvoice(invoice);
    if (mine === round) schedule();
  };
  const schedule = (delayMs = pollDelay(tries++)) => {
    clearTimeout(timer);
    timer = setTimeout(poll, delayMs);
  };
  const listen = () => {
    // Proxies may hold events back without an error.
    schedule(4_000);
    const events = new EventSource(url);
    events.onerror = () => timer || schedule();
    events.addEventListener('invoice', ({ data }) => {
      quiet();
      onOffline(false);
      onInvoice(JSON.parse(data));
    });
    return events;
  };
  let source = listen();
  const turn = () => {
    quiet();
    source.close();
    if (document.hidden || ended) return;
    source = listen();
    schedule(0);
  };
  document.addEventListener('visibilitychange', turn);
  return () => {
    ended = true;
    document.removeEventListener('visibilitychange', turn);
    turn();
  };
};
