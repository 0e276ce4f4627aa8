"""The HTML that a site pastes to sell an item."""

from html import escape

from bitcache_server.models.catalog import Item


def script_tag(public_url: str) -> str:
    """Return the line that every page with a wall needs once."""
    return f'<script type="module" src="{escape(public_url)}/widget/bitcache.js"></script>'


def paywall_tag(public_url: str, item: Item, theme: str = "") -> str:
    """Return the wall of an item; ``theme`` is empty where it follows the reader's system.

    The link is shown wherever the script does not run: without JavaScript, where it
    is blocked, while the server is down.
    """
    pay_url = escape(f"{public_url}/pay/{item.id}")
    look = f' theme="{escape(theme)}"' if theme else ""
    what = "Buy the file" if item.kind == "file" else "Read the rest of"
    lines = [
        f'<bitcache-paywall item="{escape(item.id)}"{look}>',
        f'  <a slot="no-script" href="{pay_url}">{what} “{escape(item.title)}”</a>',
        "</bitcache-paywall>",
    ]
    if item.teaser:
        lines.insert(1, f"  <p>{escape(item.teaser)}</p>")
    return "\n".join(lines)
