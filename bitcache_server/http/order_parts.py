"""What the pages of an order share: its lines in words, the ways back to the shop."""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bitcache_server.http.context import deps, session
from bitcache_server.models.orders import Order
from bitcache_server.services.order_lines import from_json, taxes_of
from bitcache_server.services.site_keys import secrets_for
from bitcache_server.tokens.orders import OrderClaims, issue_order


def order_context(order: Order) -> dict[str, object]:
    """Return what templates show of an order. What is the shop's alone is not in it."""
    lines = from_json(order.lines)
    return {
        "order": {
            "id": order.id,
            "reference": order.reference,
            "state": str(order.state),
            "currency": order.currency,
            "total_minor": order.total_minor,
            "lines": [{**vars(line), "sum_minor": line.sum_minor} for line in lines],
            "taxes": taxes_of(lines),
            "expires_at": order.expires_at,
            "paid_at": order.paid_at,
            "paid_msat": order.paid_msat,
        },
        "action_url": f"/pay/orders/{order.id}",
        "return_link": return_link(order),
        "cancel_link": order.cancel_url,
    }


def return_link(order: Order) -> str | None:
    """Return the shop's address with what has become of the order, signed; None without one.

    The address was checked when the order was made; here only parameters are added.
    """
    if order.return_url is None:
        return None
    claims = OrderClaims(
        site=order.site_id,
        order=order.id,
        reference=order.reference,
        state=str(order.state),
        total_minor=order.total_minor,
        currency=order.currency,
        issued_at=deps().clock(),
    )
    token = issue_order(secrets_for(deps(), session(), order.site_id), claims)
    parts = urlsplit(order.return_url)
    query = [*parse_qsl(parts.query, keep_blank_values=True)]
    query += [("order", order.id), ("state", claims.state), ("token", token)]
    return urlunsplit(parts._replace(query=urlencode(query)))
