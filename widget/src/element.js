// What stands inside the element is shown while the item is locked; the paid
// content takes its place.

import { late } from './api.js';
import { loadLanguage } from './format.js';
import { renderWall } from './render.js';
import { Session } from './session.js';
import { css } from './styles.js';

/** @import { Actions, Formatter, Model } from './types' */

const sheet = new CSSStyleSheet();
sheet.replaceSync(css);
const restore = () => late(import('./restore.js'));

export class BitcachePaywall extends HTMLElement {
  /** @type {Session | undefined} */
  #session;
  /** @type {Formatter | undefined} */
  #formatter;
  #clock = 0;
  #markup = '';
  #words = '';
  /** @type {ChildNode[]} */
  #teaser = [];
  #view = '';
  #root = this.attachShadow({ mode: 'open' });
  #wall = document.createElement('section');
  #live = document.createElement('p');
  /** The words are there. @type {Promise<void> | undefined} */
  #ready;

  connectedCallback() {
    if (this.#view !== 'unlocked') this.#start();
  }

  disconnectedCallback() {
    this.#session?.stop();
    clearInterval(this.#clock);
  }

  #start() {
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
      // Who hears of it finds it in the page.
      async (name, detail) => {
        await this.#ready?.catch(() => {});
        this.dispatchEvent(new CustomEvent(`bitcache:${name}`, { detail, bubbles: true }));
      },
    );
    this.#session = session;
    session.host = this;
    void session.load();
    const lang = this.closest('[lang]')?.getAttribute('lang') || 'en';
    this.#ready = loadLanguage(lang).then((formatter) => {
      this.#formatter = formatter;
      if (session === this.#session) this.#show(session.model);
    });
  }

  #show(/** @type {Model} */ model) {
    if (!this.#formatter || model.phase === 'loading') return;
    const wall = renderWall(model, this.#formatter, this.#actions);
    if (wall.outerHTML === this.#markup) return;
    this.#markup = wall.outerHTML;
    this.#swap(wall);
    clearInterval(this.#clock);
    if (this.#tick()) this.#clock = setInterval(() => this.#tick(), 1000);
    const { view = '' } = wall.dataset;
    const arrived = this.#view !== '';
    if (view !== this.#view) this.#moved(view, model.html);
    const said = [...wall.querySelectorAll('#title, .note')].map((node) => node.textContent);
    const words = said.join(' ');
    if ((arrived || view === 'error') && words !== this.#words) this.#live.textContent = words;
    this.#words = words;
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
    this.#view = view;
    if (view === 'unlocked') this.#reveal(html, before !== '');
    // Undone: what stood here before comes back.
    else if (before === 'unlocked') this.replaceChildren(...this.#teaser);
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
    this.#teaser = [...this.childNodes];
    this.replaceChildren(content);
    if (arrived && here) content.focus({ preventScroll: true });
  }

  #tick() {
    const { invoice, undo, clockOffsetMs = 0 } = this.#session?.model ?? {};
    const f = this.#formatter;
    const timer = this.#wall.querySelector('.timer');
    if (!timer || !f) return false;
    const now = (Date.now() + (undo ? 0 : clockOffsetMs)) / 1000;
    const end = undo ? undo / 1000 : (invoice?.expires_at ?? 0);
    timer.textContent = f.clock(Math.max(0, Math.ceil(end - now)));
    const line = this.#wall.querySelector('.rate');
    const rate = invoice?.price.rate;
    if (line && rate) {
      line.textContent = f.say('rate', { x: f.rate(rate), age: f.age(now - rate.as_of) });
    }
    return true;
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
    read: () => this.#session?.read(),
    undo: () => this.#session?.balance?.undo(),
    wallet: () => `${this.#session?.server}/wallet`,
    pay: () => this.#session?.pay(),
    newCode: () => this.#session?.newCode(),
    redeem: () => this.#session?.redeem(),
    retry: () => this.#session?.retry(),
    download: () => this.#session?.download((url) => location.assign(url)),
    restoring: (restoring) =>
      this.#session?.try(async () => {
        if (restoring) await restore();
        this.#session?.set({ restoring, restoreError: '' });
        this.#focus(restoring ? 'code' : 'restore_open');
      }),
    restore: async (code) => this.#session && (await restore()).restore(this.#session, code),
    copy: (...args) => this.#copy(...args),
    webln: () => this.#session?.wallet?.click(),
    set: (change) => this.#session?.set(change),
    hosted: () => `${this.#session?.server}/pay/${this.#session?.itemId}`,
  };
}
