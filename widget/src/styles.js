// Sites change the look through --bitcache-….
const dark = `
--bg: var(--bitcache-bg, #1c1a18);
--fg: var(--bitcache-fg, #f4f0ea);
--muted: var(--bitcache-muted, #aaa297);
--line: var(--bitcache-line, #37332e);
--soft: var(--bitcache-soft, #262320);
--accent: var(--bitcache-accent, #f0a35e);
--on: var(--bitcache-on-accent, #21160b);
--bad: #ff9d92;
color-scheme: dark;
`;

export const css = `
:host {
display: block;
--bg: var(--bitcache-bg, #fff);
--fg: var(--bitcache-fg, #1d1b18);
--muted: var(--bitcache-muted, #68625a);
--line: var(--bitcache-line, #e4dfd7);
--soft: var(--bitcache-soft, #f7f4ef);
--accent: var(--bitcache-accent, #b4470d);
--on: var(--bitcache-on-accent, #fff);
--bad: #b3261e;
--radius: var(--bitcache-radius, 12px);
color-scheme: light;
}
@media (prefers-color-scheme: dark) { :host(:not([theme=light])) {${dark}} }
:host([theme=dark]) {${dark}}
:host([hidden]), .bad:empty { display: none }
::slotted(.bitcache-content:focus), #title { outline: none }
* { box-sizing: border-box; max-width: 100%; overflow-wrap: anywhere }
.wall, .rows { display: flex; flex-direction: column; align-items: flex-start; gap: 12px }
.wall {
max-width: 640px;
min-height: 64px;
margin: 24px auto;
padding: 24px;
border: 1px solid var(--line);
border-radius: calc(var(--radius) * 1.3);
background: var(--bg);
color: var(--fg);
font: 16px/1.5 var(--bitcache-font, system-ui, sans-serif);
}
.wall > * { width: 100% }
h2, p { margin: 0 }
h2 { font-size: 22px; line-height: 1.3; text-wrap: balance }
[data-view=unlocked] h2 { font-size: 16px }
.fine, .kind, .timer, .link, .price { color: var(--muted) }
.fine, .kind, .note, .link, .bad, form { font-size: 14px }
.price { margin-bottom: 6px; display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 10px }
strong { color: var(--fg); font-size: 34px; line-height: 1.2 }
button, .button, input { font: inherit; min-height: 46px; padding: 9px 16px; border: 1px solid var(--line); border-radius: var(--radius); background: var(--soft); color: inherit; text-align: center; text-decoration: none; cursor: pointer }
.wall .primary { border-color: transparent; background: var(--accent); color: var(--on); font-weight: 600 }
[aria-disabled=true] { opacity: .6 }
.wall .link { width: auto; min-height: 44px; padding: 10px 0; border: 0; background: none; font-size: 14px; text-align: start; text-decoration: underline; text-underline-offset: 4px }
button:hover, .button:hover { border-color: var(--muted) }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px }
.pay { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 208px), 1fr)); gap: 20px; align-items: center }
.qr { justify-self: center; width: 288px; padding: 8px; border: 1px solid var(--line); border-radius: var(--radius); background: #fff; color: #000; forced-color-adjust: none }
img { display: block; width: 100%; aspect-ratio: 1 }
.dense { width: 320px; padding: 2px }
.rows { align-items: stretch }
.row, .status { display: flex; justify-content: space-between; align-items: center; gap: 12px }
.row div { min-width: 0 }
.row button { flex: none; font-size: 14px }
code { font: 14px/1.6 ui-monospace, monospace }
.rows > .row:first-child code { font-size: 17px; font-weight: 600 }
.ways { display: flex; flex-wrap: wrap; gap: 6px }
.ways button { flex: 1 1 70px; padding: 9px 4px; font-size: 14px }
[aria-pressed=true] { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); font-weight: 600 }
.one code, .receipt code { display: block; overflow: hidden; white-space: nowrap; text-overflow: ellipsis }
code span span { display: inline-block; margin-right: .5em }
.receipt, .note { padding: 12px 14px; border-radius: var(--radius); background: var(--soft) }
.receipt button { background: var(--bg) }
.note { border-inline-start: 3px solid var(--accent) }
.status, form { padding-top: 14px; border-top: 1px solid var(--line) }
.timer { flex: none; font-variant-numeric: tabular-nums }
.wall .badge { display: grid; place-items: center; width: 44px; height: 44px; border: 2px solid var(--line); border-radius: 50%; color: var(--accent); font-weight: 700 }
.wall .busy { border-top-color: var(--accent); animation: turn 1s linear infinite }
progress { height: 8px; accent-color: var(--accent) }
form { display: grid; gap: 8px }
input { background: var(--bg); text-align: start; cursor: text }
.bad { color: var(--bad) }
.bone { min-height: 288px; animation: pulse 2s infinite }
.live { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden }
@keyframes pulse { 50% { opacity: .5 } }
@keyframes turn { to { rotate: 1turn } }
@media (prefers-reduced-motion) { * { animation: none !important } }
`;
