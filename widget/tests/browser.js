// What the modules need of a browser, for tests that need no page.
const target = new EventTarget();

export const visibility = Object.assign(new EventTarget(), { hidden: false });

/** Local storage that can be told to refuse. */
export const storage = {
  blocked: false,
  items: new Map(),
  getItem(name) {
    if (this.blocked) throw new DOMException('blocked', 'SecurityError');
    return this.items.get(name) ?? null;
  },
  setItem(name, value) {
    if (this.blocked) throw new DOMException('blocked', 'SecurityError');
    this.items.set(name, value);
  },
};

/** Every event stream that was opened, newest last. */
export const streams = [];

class FakeEventSource extends EventTarget {
  constructor(url) {
    super();
    this.url = url;
    this.closed = false;
    streams.push(this);
  }

  close() {
    this.closed = true;
  }

  send(invoice) {
    this.dispatchEvent(
      Object.assign(new Event('invoice'), { data: JSON.stringify(invoice) }),
    );
  }

  fail() {
    this.onerror?.(new Event('error'));
  }
}

class FakeStorageEvent extends Event {
  constructor(type, { key }) {
    super(type);
    this.key = key;
  }
}

/** The page's address and what it opened. */
export const page = {
  hash: '',
  origin: 'https://blog.example',
  pathname: '/a',
  search: '?x=1',
  get href() {
    return `${this.origin}${this.pathname}${this.search}${this.hash}`;
  },
  assign(url) {
    this.went.push(`${url}`);
  },
  went: [],
  /** Windows that were opened, newest last; with `blocked` there are none. */
  windows: [],
  blocked: false,
};

const openWindow = (url) => {
  if (page.blocked) return null;
  const opened = { url, closed: false, focused: 0, focus: () => (opened.focused += 1) };
  page.windows.push(opened);
  return opened;
};

/** Tell the page's listeners. */
export const dispatch = target.dispatchEvent.bind(target);

/** Another tab has written something. */
export const otherTabWrote = (key) => dispatch(new FakeStorageEvent('storage', { key }));

Object.assign(globalThis, {
  window: globalThis,
  location: page,
  open: openWindow,
  history: {
    state: null,
    replaceState: (_, __, url) => {
      page.hash = new URL(url, page.origin).hash;
    },
  },
  localStorage: storage,
  document: visibility,
  EventSource: FakeEventSource,
  StorageEvent: FakeStorageEvent,
  Node: class {},
  addEventListener: target.addEventListener.bind(target),
  removeEventListener: target.removeEventListener.bind(target),
  dispatchEvent: dispatch,
});

/** Timers that move when a test says so. (Those of node:test lose some in Node 20.) */
export const clock = {
  install() {
    let now = 0;
    let next = 1;
    const timers = new Map();
    const set = (every) => (work, delay = 0) => {
      timers.set(next, { work, at: now + delay, every: every ? delay : 0 });
      return next++;
    };
    const clear = (id) => timers.delete(id);
    Object.assign(globalThis, {
      setTimeout: set(false),
      setInterval: set(true),
      clearTimeout: clear,
      clearInterval: clear,
    });
    this.tick = (ms) => {
      const end = now + ms;
      for (;;) {
        const due = [...timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
        if (!due) break;
        const [id, timer] = due;
        now = timer.at;
        if (timer.every) timer.at += timer.every;
        else timers.delete(id);
        timer.work();
      }
      now = end;
    };
  },
};

/** An invoice as the API gives it. */
export const anInvoice = (changes = {}) => ({
  id: 'in_1',
  item: 'it_1',
  state: 'open',
  marks: [],
  amount_msat: 5_000_000,
  price: { amount_msat: 5_000_000, fiat: null, rate: null },
  expires_at: 2000,
  now: 1100,
  requests: [
    {
      rail: 'onchain',
      address: 'bc1qexample',
      bolt11: null,
      amount_sat: 5000,
      amount_msat: 5_000_000,
      uri: 'bitcoin:bc1qexample?amount=0.00005',
      qr_svg_url: 'https://pay.example/qr.svg',
      confirmations_required: 0,
    },
  ],
  unified: null,
  payments: [],
  received_msat: 0,
  missing_msat: 5_000_000,
  credit_msat: 0,
  events_url: 'https://pay.example:8443/events/in_1',
  checkout_url: 'https://pay.example/pay/it_1',
  ...changes,
});

/** The same over Lightning alone. */
export const aLightningInvoice = (changes = {}) =>
  anInvoice({
    requests: [
      {
        rail: 'lightning',
        address: null,
        bolt11: 'lnbc50u1example',
        amount_sat: 5000,
        amount_msat: 5_000_000,
        uri: 'lightning:lnbc50u1example',
        qr_svg_url: 'https://pay.example/qr.svg?rail=lightning',
        confirmations_required: 0,
      },
    ],
    ...changes,
  });

/** How many jobs the cryptography's own threads have in hand. */
let hashing = 0;
const { digest } = SubtleCrypto.prototype;
SubtleCrypto.prototype.digest = async function counted(...args) {
  hashing += 1;
  try {
    return await digest.apply(this, args);
  } finally {
    hashing -= 1;
  }
};

/** Let everything that is already due happen. */
export const settle = async () => {
  let calm = 0;
  // What a hash sets off is due as well: calm begins again after it.
  while (calm < 30) {
    await new Promise((done) => setImmediate(done));
    calm = hashing ? 0 : calm + 1;
  }
};

// What the modules load when it is needed is here before: no test waits for the disk.
const late = ['balance', 'elsewhere', 'invoices', 'lightning', 'live', 'payment', 'provider', 'restore', 'webln'];
await Promise.all(late.map((name) => import(`../src/${name}.js`)));
