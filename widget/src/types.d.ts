// The shapes of the API and of the widget's own values. For the type checker
// and for people; no browser loads this file.

export interface Price {
  amount_msat: number | null;
  fiat: { currency: string; amount_minor: number; exponent: number } | null;
  rate: { price_per_btc: string; currency: string; as_of: number; age_s: number } | null;
}

export interface Item {
  id: string;
  kind: 'article' | 'file';
  title: string;
  teaser: string;
  price: Price;
  policy: { type: 'forever' | 'hours' | 'downloads'; hours: number | null; downloads: number | null };
  file: { name: string; size_bytes: number; content_type: string } | null;
  site: { id: string; name: string };
  /** Empty when the price is below what any rail takes. */
  rails: string[];
  /** Null when nothing can be paid from a balance now. */
  balance?: { connect_url: string; gift_msat: number; now: number } | null;
  /** Not sold any more; what was bought stays readable. */
  archived?: boolean;
  /** Where the site opens what it holds itself; null where the server holds it. */
  open_url?: string | null;
  checkout_url: string;
}

export interface PaymentRequest {
  rail: string;
  /** Null over Lightning. */
  address: string | null;
  /** The Lightning invoice; null over every other rail. */
  bolt11: string | null;
  amount_sat: number;
  amount_msat: number;
  uri: string;
  qr_svg_url: string;
  confirmations_required: number;
}

export interface Payment {
  rail: string;
  amount_msat: number;
  confirmations: number;
  confirmations_required: number;
  state: 'seen' | 'confirmed' | 'removed';
}

export interface Invoice {
  id: string;
  item: string;
  state: 'open' | 'seen' | 'paid' | 'expired';
  marks: string[];
  amount_msat: number;
  price: Price;
  expires_at: number;
  /** The server's clock, in unix seconds. */
  now: number;
  /** Best first. */
  requests: PaymentRequest[];
  /** One code for Lightning and on-chain, where both are on offer. */
  unified: { uri: string; qr_svg_url: string } | null;
  payments: Payment[];
  received_msat: number;
  missing_msat: number;
  credit_msat: number;
  events_url: string;
  checkout_url: string;
}

/** What POST /v1/unlocks answers. */
export interface Bought {
  grant: string;
  receipt: string;
  outcome: 'booked' | 'replayed' | 'owned';
  charged_msat: number;
  /** What is left; null when nothing was bought just now. */
  balance_msat: number | null;
  gift_msat: number | null;
  undo_until: number | null;
}

/** What was paid from the balance, and what it holds since. */
export interface Spent {
  charged_msat: number;
  left_msat: number | null;
}

/** What one browser keeps about one item on one server, or about a site's allowance. */
export interface Entry {
  /** The secret that collects the grant; made before the invoice. */
  verifier?: string;
  /** The Idempotency-Key that the invoice is, or will be, created with. */
  key?: string;
  invoice?: string;
  grant?: string;
  kind?: 'article' | 'file';
  /** Earlier codes, newest first: money that reaches them late is still the reader's. */
  older?: { invoice: string; verifier: string }[];
  /** The Idempotency-Key that the item is bought from the balance with. */
  unlock?: string;
  spent?: Spent;
  /** Until when that can be undone, in milliseconds of this browser's clock; 0 for no more. */
  undo?: number;
  /** The invoice that the browser's wallet says it has paid. */
  sent?: string;
  /** The reader took a purchase back: no opening without a click. */
  undone?: boolean;
  /** Of a site: the secret that collects an allowance, the allowance, and its automatic part. */
  ask?: string;
  token?: string;
  auto?: number;
}

export type Way = 'any' | 'lightning' | 'onchain';

/** What the browser's wallet was asked to pay, and how that stands; `code`: the reader scans after all. */
export interface Sending {
  invoice: string;
  state: 'asking' | 'slow' | 'refused' | 'failed' | 'sent' | 'code';
}

/** What a WebLN wallet gives a page (https://webln.guide). */
export interface WalletProvider {
  enable(): Promise<unknown>;
  sendPayment(bolt11: string): Promise<unknown>;
}

declare global {
  interface Window {
    webln?: WalletProvider;
  }
}

/** Everything that the wall shows. */
export interface Model {
  phase: 'loading' | 'offer' | 'invoice' | 'unlocked' | 'error';
  item?: Item;
  invoice?: Invoice | undefined;
  /** Server clock minus client clock, in milliseconds. */
  clockOffsetMs?: number;
  /** A click is being worked on. */
  busy?: boolean;
  offline?: boolean;
  /** False when the browser stores nothing. */
  persistent?: boolean;
  /** A code of the API, or "offline" or "insecure_context". */
  error?: string;
  /** A key of the language files; so is restoreError. */
  notice?: string;
  restoring?: boolean;
  restoreError?: string;
  /** The site may spend from the balance. */
  allowed?: boolean;
  /** What the first button is for, when it is not reading. */
  label?: string | undefined;
  spent?: Spent | undefined;
  undo?: number | undefined;
  undoing?: boolean;
  /** The browser has a wallet that pays over Lightning (WebLN). */
  wallet?: boolean;
  sending?: Sending;
  /** How the reader wants to pay, where there is a choice. */
  way?: Way;
  /** "<invoice id>.<verifier>" */
  receiptCode?: string;
  /** The paid article; a file has none. */
  html?: string | undefined;
}

/** The phases that are no invoice's, and what an invoice's can be. */
export type ViewName =
  | Model['phase'] | 'download'
  | 'waiting' | 'underpaid' | 'seen' | 'confirming' | 'paid' | 'expired' | 'credit';

/** What an invoice means for its reader. */
export interface InvoiceView {
  name: ViewName;
  /** Still to pay, in whole sats, rounded up. */
  dueSat: number;
  request: PaymentRequest | undefined;
  /** False when the server's code carries another amount than the one still due. */
  qrFits: boolean;
  /** The wallet link for the amount still due. */
  uri: string;
  /** Of the payment that is furthest from final. */
  confirmations: number;
  required: number;
  /** A payment was taken back before it was final. */
  removed: boolean;
}

/** The words of one language; an object holds plural forms (Intl.PluralRules). */
export type Words = Record<string, string | Record<string, string>>;

/** Numbers, money and words in one language. */
export interface Formatter {
  /** BCP 47 */
  lang: string;
  /** The sentence for a key: in the plural form for `n`, with each {name} filled. */
  say(key: string, values?: Record<string, string | number>): string;
  /** The sentence for an "e_<code>"; the ways in which a rail can fail share one. */
  error(key: string): string;
  fiat(fiat: { currency: string; amount_minor: number; exponent: number }): string;
  /** An exchange rate in major units, with as many decimals as it has. */
  rate(rate: { price_per_btc: string; currency: string }): string;
  /** Msat, shown as sats with up to three decimals. */
  sats(msat: number): string;
  /** How long ago. */
  age(seconds: number): string;
  /** Minutes and seconds. */
  clock(seconds: number): string;
  size(bytes: number): string;
}

/** One call of the API below /v1/: GET, or POST when there is a body. */
export type Call = (
  path: string,
  options?: { body?: object; key?: string; grant?: string | undefined },
) => Promise<any>;

/** Follow an invoice until the returned function is called. */
export type Follow = (
  eventsUrl: string,
  load: () => Promise<Invoice>,
  onInvoice: (invoice: Invoice) => void,
  onOffline: (offline: boolean) => void,
) => () => void;

/** What the reader can do. */
export interface Actions {
  read(): void;
  undo(): void;
  pay(): void;
  newCode(): void;
  redeem(): void;
  retry(): void;
  download(): void;
  restoring(restoring: boolean): void;
  restore(code: string): void;
  /** Pay with the browser's wallet. */
  webln(): void;
  set(change: Partial<Model>): void;
  copy(value: string, shown: Node, button: Element): void;
  /** The address of the checkout page that works without scripts. */
  hosted(): string;
  /** The address of the reader's wallet. */
  wallet(): string;
}

/** A child, or attributes and listeners, of a node. */
export type Part =
  | Node | string | null | undefined | false | 0
  | Record<string, string | ((event: Event) => void)>;

export interface Context {
  m: Model;
  f: Formatter;
  on: Actions;
  /** Shown as data-view. */
  name: ViewName;
}

export type View = (context: Context) => Part[];
export type InvoiceParts = (context: Context, view: InvoiceView) => Part[];
