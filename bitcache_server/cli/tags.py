"""The HTML that a site pastes to sell an item."""

from html import escape

from bitcache_server.models.catalog import Item

_UNNAMED_TEASER = "The rest of this is for readers who pay a few cents."


def script_tag(public_url: str) -> str:
    """Return the line that every page with a wall needs once."""
    return f'<script type="module" src="{escape(public_url)}/widget/bitcache.js"></script>'


def paywall_tag(public_url: str, item: Item) -> str:
    """Return the wall of an item. Without JavaScript, what stands inside is what works."""
    teaser = escape(item.teaser or _UNNAMED_TEASER)
    pay_url = escape(f"{public_url}/pay/{item.id}")
    return "\n".join(
        [
            f'<bitcache-paywall item="{escape(item.id)}">',
            f"  <p>{teaser}</p>",
            f'  <noscript><a href="{pay_url}">Pay for “{escape(item.title)}”</a></noscript>',
            "</bitcache-paywall>",
        ]
    )
