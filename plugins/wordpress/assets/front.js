// Puts paid parts in place. The widget sells and asks the site; this fills what stands further
// down, brings the styles and scripts of the blocks, and serves walls that have no widget yet.

const HINT = 'bitcache_hint=1';

/** @type {Map<string, Promise<unknown>>} Addresses that are loaded or being loaded. */
const loaded = new Map();

/** Say whether an address is in the page; versions of one file count as the same. */
function has(selector, attribute, address) {
	const wanted = new URL(address, location.href);
	return [...document.querySelectorAll(selector)].some((node) => {
		const found = new URL(node.getAttribute(attribute), location.href);
		return found.origin === wanted.origin && found.pathname === wanted.pathname;
	});
}

/** Resolve when a node is there, or has failed: a missing style stops no script. */
function arrived(node) {
	return new Promise((resolve) => {
		node.addEventListener('load', resolve, { once: true });
		node.addEventListener('error', resolve, { once: true });
	});
}

function once(key, work) {
	if (!loaded.has(key)) loaded.set(key, work());
	return loaded.get(key);
}

function inlineStyle(css) {
	const style = document.createElement('style');
	style.textContent = css;
	document.head.append(style);
}

function loadStyle({ handle, href, inline }) {
	const key = `style ${href || handle || inline}`;
	return once(key, async () => {
		if (handle && document.getElementById(`${handle}-css`)) return;
		if (href && !has('link[rel="stylesheet"][href]', 'href', href)) {
			const link = document.createElement('link');
			link.rel = 'stylesheet';
			link.href = href;
			if (handle) link.id = `${handle}-css`;
			const done = arrived(link);
			document.head.append(link);
			await done;
		}
		if (inline) inlineStyle(inline);
	});
}

/** A page knows the names of modules only once; what it has stays. */
function addImportMap(text) {
	const known = [...document.querySelectorAll('script[type="importmap"]')].map((node) => {
		try {
			return JSON.parse(node.textContent).imports ?? {};
		} catch {
			return {};
		}
	});
	const imports = JSON.parse(text).imports ?? {};
	const fresh = Object.entries(imports).filter(([name]) => !known.some((map) => name in map));
	if (fresh.length) append({ type: 'importmap', text: JSON.stringify({ imports: Object.fromEntries(fresh) }) });
}

/** What blocks tell their scripts: added to what the page has told them. */
function addData(id, text) {
	const there = id && document.getElementById(id);
	if (!there) return append({ type: 'application/json', text, id });
	there.textContent = JSON.stringify(merge(JSON.parse(there.textContent), JSON.parse(text)));
}

function merge(old, fresh) {
	for (const [key, value] of Object.entries(fresh)) {
		const both = value && old[key] && typeof value === 'object' && !Array.isArray(value);
		old[key] = both ? merge(old[key], value) : value;
	}
	return old;
}

function append({ type = '', text = '', src = '', id = '' }) {
	const script = document.createElement('script');
	if (type) script.type = type;
	if (id) script.id = id;
	const done = src ? arrived(script) : Promise.resolve();
	script.async = false;
	if (src) script.src = src;
	else script.textContent = text;
	document.body.append(script);
	return done;
}

async function loadScript({ handle, src, before, after, type }) {
	if (type === 'importmap') return addImportMap(after);
	if (type === 'application/json') return addData(handle, after);
	const key = `script ${src || handle || after}`;
	return once(key, async () => {
		if (handle && type !== 'module' && document.getElementById(`${handle}-js`)) return;
		if (src && has('script[src]', 'src', src)) return;
		if (before) await append({ text: before });
		if (src) await append({ src, type, id: handle && type !== 'module' ? `${handle}-js` : handle });
		if (after) await append({ text: after, type });
	});
}

/** Scripts that came as markup do not run; the same ones made anew do. */
function wake(root) {
	for (const old of root.querySelectorAll('script')) {
		const script = document.createElement('script');
		for (const { name, value } of old.attributes) script.setAttribute(name, value);
		if (!script.hasAttribute('async')) script.async = false;
		script.textContent = old.textContent;
		old.replaceWith(script);
	}
}

const CONSENT =
	'I acknowledge that using private APIs means my theme or plugin will inevitably break in the next version of WordPress.';

/**
 * WordPress brings interactive blocks to life once, when the page is loaded, and has no public
 * way to do it later; its own router uses these. Without them the blocks are there, but still.
 */
async function bringToLife(places) {
	const nodes = places
		.flatMap((place) => [...place.querySelectorAll('[data-wp-interactive]')])
		.filter((node) => !node.parentElement.closest('[data-wp-interactive]'));
	if (!nodes.length) return;
	const { privateApis } = await import('@wordpress/interactivity');
	const api = privateApis(CONSENT);
	// What was loaded just now may be at it.
	await new Promise((resolve) => setTimeout(resolve, 100));
	if (api.parseServerData) api.populateServerData(api.parseServerData());
	else api.populateInitialData?.(api.parseInitialData());
	for (const node of nodes) {
		const fragment = api.getRegionRootFragment(node);
		if (!fragment.__k) api.render(api.toVdom(node), fragment);
	}
}

/** The further stretches of a part, in the same article. */
function further(wall) {
	const { post, bitcacheWall } = wall.dataset;
	return document.querySelectorAll(
		`.bitcache-part[data-post="${post}"][data-bitcache-part="${bitcacheWall}"]`,
	);
}

/** @type {WeakMap<Element, ChildNode[]>} What stood in further stretches. */
const before = new WeakMap();

function put(place, html) {
	if (!before.has(place)) before.set(place, [...place.childNodes]);
	const content = document.createElement('div');
	content.className = 'bitcache-content';
	content.innerHTML = html;
	place.replaceChildren(content);
	return content;
}

/** Everything but the first stretch, which stands in the page already. */
async function complete(wall, first, answer) {
	const places = [first];
	for (const place of further(wall)) {
		const html = answer.parts?.[place.dataset.n];
		if (html !== undefined) places.push(put(place, html));
	}
	await Promise.all((answer.styles ?? []).map(loadStyle));
	for (const place of places) {
		prepare(place);
		wake(place);
	}
	for (const script of answer.scripts ?? []) await loadScript(script);
	await bringToLife(places).catch(() => {});
	// As for pages that were just loaded: embeds and galleries of many themes wait for it.
	document.dispatchEvent(new CustomEvent('bitcache:placed', { detail: { wall } }));
}

async function ask(url, body = {}) {
	const answer = await fetch(url, {
		method: 'POST',
		headers: { 'Content-Type': 'application/json' },
		credentials: 'same-origin',
		cache: 'no-store',
		body: JSON.stringify(body),
	});
	return answer.ok ? answer.json() : undefined;
}

/** A wall without a widget: open it if this reader may read it. */
async function open(wall) {
	const answer = await ask(wall.dataset.content);
	if (!answer) return false;
	await complete(wall, put(wall, answer.html), answer);
	return true;
}

/** A wall whose item the server does not know yet. */
async function make(wall) {
	const answer = await ask(wall.dataset.make);
	if (!answer?.item) return;
	const widget = document.createElement('bitcache-paywall');
	widget.setAttribute('item', answer.item);
	widget.setAttribute('server', wall.dataset.server);
	widget.setAttribute('content', wall.dataset.content);
	if (wall.dataset.theme) widget.setAttribute('theme', wall.dataset.theme);
	suit(wall, widget);
	wall.replaceChildren(widget);
}

async function serve(wall) {
	try {
		const isAsked = document.cookie.includes(HINT) || isFree(wall);
		if (isAsked && (await open(wall))) return;
		if (wall.dataset.make) await make(wall);
	} catch {
		// The site is away: what the page says stays.
	}
}

function isFree({ dataset: { free } }) {
	return free !== undefined && Number(free) * 1000 <= Date.now();
}

/** Say whether a colour is dark: true or false; nothing for one that lets others through. */
function isDark(colour) {
	const [red, green, blue, alpha = 1] = (colour.match(/[\d.]+/g) ?? []).map(Number);
	if (!colour.startsWith('rgb') || alpha < 0.5) return undefined;
	return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
}

/** What a wall stands on: "dark" or "light", whatever the reader's system prefers. */
function ground(wall) {
	for (let node = wall.parentElement; node; node = node.parentElement) {
		const dark = isDark(getComputedStyle(node).backgroundColor);
		if (dark !== undefined) return dark ? 'dark' : 'light';
	}
	// Nobody has painted it: then it is as the page says that browsers may have it.
	const schemes = getComputedStyle(document.documentElement).colorScheme;
	const prefersDark = matchMedia('(prefers-color-scheme: dark)').matches;
	return schemes.includes('dark') && (prefersDark || !schemes.includes('light')) ? 'dark' : 'light';
}

/** A dark wall on a light page is a hole: where the owner chose nothing, it is as its page. */
function suit(wall, widget) {
	if (!wall.dataset.theme) widget.setAttribute('theme', ground(wall));
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
	for (const widget of document.querySelectorAll('.bitcache-wall > bitcache-paywall')) {
		suit(widget.parentElement, widget);
	}
});

function prepare(root) {
	for (const wall of root.querySelectorAll('.bitcache-wall')) {
		const widget = wall.querySelector('bitcache-paywall');
		if (widget) {
			suit(wall, widget);
			// Read by the widget, which comes later: it asks the site before it offers anything.
			widget.toggleAttribute('ask', isFree(wall));
		} else if (!wall.querySelector('.bitcache-content')) {
			void serve(wall);
		}
	}
}

document.addEventListener('bitcache:unlocked', ({ target, detail }) => {
	const wall = target instanceof Element && target.closest('.bitcache-wall');
	const content = wall && wall.querySelector('.bitcache-content');
	if (content && detail?.answer) void complete(wall, content, detail.answer);
});

document.addEventListener('bitcache:refunded', ({ target }) => {
	const wall = target instanceof Element && target.closest('.bitcache-wall');
	for (const place of wall ? further(wall) : []) {
		if (before.has(place)) place.replaceChildren(...before.get(place));
	}
});

prepare(document);
