// A top-up's page hears at once what has arrived: it asks for news, and loads itself again when
// there are any. Without scripts the page loads itself again now and then.

const SOON_MS = 1_000;
/** Once the code has expired, and while the server does not answer. */
const LATER_MS = 5_000;

const { news = '', seconds = '0' } = document.getElementById('waits')?.dataset ?? {};
const left = document.getElementById('left');
let timer = 0;

/** How long the code can still be paid, by a clock that nobody sets. */
const leftMs = () => Math.max(0, Number(seconds) * 1_000 - performance.now());

const look = async () => {
  clearTimeout(timer);
  if (left) left.textContent = `${Math.ceil(leftMs() / 60_000)} min left`;
  const answer = await fetch(`${location.pathname}/news`, {
    headers: { 'If-None-Match': `"${news}"` },
  }).catch(() => null);
  // Signed out elsewhere: the page itself says so.
  if (answer && (answer.ok || answer.status === 401 || answer.status === 404)) return location.reload();
  clearTimeout(timer);
  timer = setTimeout(look, answer?.status === 304 && leftMs() ? SOON_MS : LATER_MS);
};

if (news) {
  // Whoever comes back from a wallet on the same phone waits for nothing.
  document.addEventListener('visibilitychange', () => document.hidden || look());
  timer = setTimeout(look, SOON_MS);
}

export {};
