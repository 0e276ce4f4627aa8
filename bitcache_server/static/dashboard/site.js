/** The preview follows the form while it is filled in. Without scripts "Try it" does. */

/** @param {string} colour @param {number} at */
const brightness = (colour, at) => {
  const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
  return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
};

/** The better of white and black on a colour (WCAG 2.2), as the server chooses it. @param {string} colour */
const textOn = (colour) => {
  const [red, green, blue] = [brightness(colour, 1), brightness(colour, 3), brightness(colour, 5)];
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return 1.05 / (light + 0.05) >= (light + 0.05) / 0.05 ? '#ffffff' : '#000000';
};

/** @param {HTMLFormElement} form @param {string} name */
const valueOf = (form, name) => String(new FormData(form).get(name) ?? '');

/** @param {HTMLFormElement} form @param {HTMLIFrameElement} frame */
const follow = (form, frame) => {
  const page = frame.contentDocument;
  const wall = page?.querySelector('bitcache-paywall');
  if (!page || !wall) return;
  const style = /** @type {HTMLElement} */ (wall).style;
  /** @param {string} name @param {string | undefined} value */
  const set = (name, value) => style.setProperty(name, value || 'initial');
  const theme = valueOf(form, 'theme');
  if (theme) wall.setAttribute('theme', theme);
  else wall.removeAttribute('theme');
  page.documentElement.className = theme;
  const accent = valueOf(form, 'accent');
  const colour = /^#[0-9a-f]{6}$/i.test(accent) ? accent : '';
  set('--bitcache-accent', colour);
  set('--bitcache-on-accent', colour && textOn(colour));
  const radius = valueOf(form, 'radius_px');
  set('--bitcache-radius', /^[0-9]{1,2}$/.test(radius) ? `${radius}px` : '');
  const font = form.elements.namedItem('font');
  if (font instanceof HTMLSelectElement) {
    set('--bitcache-font', font.selectedOptions[0]?.dataset.font);
  }
};

const form = document.getElementById('look');
const frame = document.getElementById('preview');
if (form instanceof HTMLFormElement && frame instanceof HTMLIFrameElement) {
  form.addEventListener('input', () => follow(form, frame));
  const button = document.getElementById('try');
  if (button) button.hidden = true;
}

export {};
