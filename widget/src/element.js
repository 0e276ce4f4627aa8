// What stands inside the element is shown while the item is locked; the paid
// content takes its place.

import { loadLanguage } from './format.js';
import { renderWall } from './render.js';
import { Session } from './session.js';
import { css } from './styles.js';

/** @import { Actions, Formatter, Model } from './types' */

const sheet = new CSSStyleSheet();
sheet.replaceSync(css);

export class BitcachePaywall extends HTMLElement {
  /** @type {Session | undefined} */
  #session;
  /** @type {Formatter | undefined} */
  #formatter;
  #clock = 0;
  #markup = '';
  #view = '';
  #root = this.attachShadow({ mode: 'open' });
  #wall = document.createElement('section');
  #live = document.createElement('p');

  connectedCallback() {
    if (this.#view !== 'unlocked') void this.#start();
  }

  disconnectedCallback() {
    this.#session?.stop();
    clearInterval(this.#clock);
  }

  async #start() {
    this.disconnectedCallback();
    // The first paint waits for nothing.
    this.#root.adoptedStyleSheets = [sheet];
    this.#live.className = 'live';
    this.#live.setAttribute('role', 'status');
    this.#wall.className = 'wall bone';
    this.#wall.ariaBusy = 'true';
    this.#root.replaceChildren(document.createElement('slot'), this.#wall, this.#live);
    const session = new Session(
      this.getAttribute('item') ?? '',
      new URL(this.getAttribute('server') ?? import.meta.url, location.href).origin,
      (model) => this.#show(model),
      (name, detail) =>
        this.dispatchEvent(new CustomEvent(`bitcache:${name}`, { detail, bubbles: true })),
    );
    this.#session = session;
    void session.load();
    this.#formatter = await loadLanguage(this.closest('[lang]')?.getAttribute('lang') || 'en');
    if (session === this.#session) this.#show(session.model);
  }

  #show(/** @type {Model} */ model) {
    if (!this.#formatter || model.phase === 'loading') return;
    const wall = renderWall(model, this.#formatter, this.#actions);
    if (wall.outerHTML === this.#markup) return;
    this.#markup = wall.outerHTML;
    this.#swap(wall);
    this.#tick();
    const { view = '' } = wall.dataset;
    if (view !== this.#view) this.#moved(view, model.html);
  }

  /** Focus, QR image and typed text stay. */
  #swap(/** @type {HTMLElement} */ wall) {
    const old = this.#wall;
    const active = this.#root.activeElement;
    const image = old.querySelector('img');
    const fresh = wall.querySelector('img');
    if (image && image.src === fresh?.src) fresh.replaceWith(image);
    const input = wall.querySelector('input');
    if (input) input.value = old.querySelector('input')?.value ?? '';
    old.replaceWith(wall);
    this.#wall = wall;
    if (active) this.#focus(active.id) || this.#focus('title');
  }

  #focus(id = '') {
    const node = this.#root.getElementById(id);
    node?.focus({ preventScroll: true });
    return node;
  }

  #moved(view = '', html = '') {
    const before = this.#view;
    const arrived = before !== '';
    this.#view = view;
    clearInterval(this.#clock);
    if (/waiting|underpaid/.test(view)) this.#clock = setInterval(() => this.#tick(), 1000);
    if (view === 'unlocked') this.#reveal(html, arrived);
    const title = this.#root.getElementById('title')?.textContent ?? '';
    if (arrived || view === 'error') this.#live.textContent = title;
  }

  /** Into the page itself, where the site's styles apply. */
  #reveal(html = '', arrived = false) {
    const content = document.createElement('div');
    content.className = 'bitcache-content';
    content.tabIndex = -1;
    content.innerHTML = html;
    // A reader who is busy elsewhere in the page is not moved.
    const { activeElement, body } = document;
    const here = activeElement === this || activeElement === body;
    this.replaceChildren(content);
    if (arrived && here) content.focus({ preventScroll: true });
  }

  #tick() {
    const { invoice, clockOffsetMs = 0 } = this.#session?.model ?? {};
    const f = this.#formatter;
    if (!invoice || !f) return;
    const now = (Date.now() + clockOffsetMs) / 1000;
    const { rate } = invoice.price;
    const timer = this.#wall.querySelector('.timer');
    const line = this.#wall.querySelector('.rate');
    if (timer) timer.textContent = f.clock(Math.max(0, Math.ceil(invoice.expires_at - now)));
    if (line && rate) {
      line.textContent = f.say('rate', { x: f.rate(rate), age: f.age(now - rate.as_of) });
    }
  }

  /** @type {Actions['copy']} */
  async #copy(value, shown, button) {
    const f = this.#formatter;
    try {
      await navigator.clipboard.writeText(value);
      this.#live.textContent = button.textContent = f?.say('copied') ?? '';
      setTimeout(() => (button.textContent = f?.say('copy') ?? ''), 2000);
    } catch {
      // Not allowed: mark it for the reader to copy.
      getSelection()?.selectAllChildren(shown);
    }
  }

  /** @type {Actions} */
  #actions = {
    pay: () => this.#session?.pay(),
    newCode: () => this.#session?.newCode(),
    redeem: () => this.#session?.redeem(),
    retry: () => this.#session?.retry(),
    download: () => this.#session?.download((url) => location.assign(url)),
    restoring: (restoring) => {
      this.#session?.set({ restoring, restoreError: '' });
      this.#focus(restoring ? 'code' : 'restore_open');
    },
    restore: (code) => this.#session?.restore(code),
    copy: (...args) => this.#copy(...args),
    hosted: () => `${this.#session?.server}/pay/${this.#session?.itemId}`,
  };
}
