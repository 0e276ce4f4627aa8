"""A wallet in the browser (WebLN), put where an extension puts it; a test says how it answers."""

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page

#: What it answers when it pays; every other answer but "hang" is an error in its words.
PAID = "paid"
_SCRIPT = """window.giveWallet = () => {
  window.webln = {
    enable: () => window.walletAsked('enable'),
    async sendPayment(bolt11) {
      const answer = await window.walletAsked(bolt11);
      if (answer === 'hang') return new Promise(() => {});
      if (answer !== 'paid') throw new Error(answer);
      return { preimage: '00'.repeat(32) };
    },
  };
};"""


class BrowserWallet:
    """It pays through ``pay`` and writes every call down. ``late``: the page has to ask for it."""

    def __init__(
        self,
        target: Page | BrowserContext,
        pay: Callable[[str], None] = lambda _: None,
        *,
        late: bool = False,
        answer: str = PAID,
    ) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self._pay = pay
        target.expose_function("walletAsked", self._asked)
        target.add_init_script(_SCRIPT if late else f"{_SCRIPT} giveWallet();")

    @property
    def invoices(self) -> list[str]:
        """Return the invoices that it was asked to pay."""
        return [asked for asked in self.asked if asked != "enable"]

    def _asked(self, what: str) -> str:
        self.asked.append(what)
        if what == "enable":
            return what
        if self.answer == PAID:
            self._pay(what)
        return self.answer
