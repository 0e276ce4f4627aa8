"""What the dashboard says of webhooks: events, states, and why an attempt came to nothing."""

from bitcache_server.i18n import mark as _

TYPE_WORDS: dict[str, str] = {
    "sale.created": _("Something is sold"),
    "sale.refunded": _("A sale is refunded"),
    "sale.reversed": _("A sale's payment vanished"),
    "invoice.paid": _("An invoice is paid"),
    "invoice.expired": _("An invoice is over"),
    "invoice.underpaid": _("Too little is paid for an invoice"),
    "invoice.credited": _("Money came late or was too much"),
    "order.created": _("An order is placed"),
    "order.paid": _("An order is paid"),
    "order.reopened": _("An order's payment vanished"),
    "order.refunded": _("An order is refunded"),
    "order.cancelled": _("An order is cancelled"),
    "order.expired": _("An order is over"),
    "payout.sent": _("A payout is final"),
    "payout.failed": _("A payout failed"),
    "item.changed": _("An item is added or changed"),
    "test": _("A test"),
}
STATE_WORDS: dict[str, str] = {
    "waiting": _("waiting"),
    "delivered": _("delivered"),
    "failed": _("given up"),
}
#: By the codes of ``delivery/webhook.py``.
ERROR_WORDS: dict[str, str] = {
    "bad_answer": _("The answer was no HTTP, or the connection broke off."),
    "internal_address": _("The address is internal, or not https. Nothing was sent."),
    "names_busy": _("Too many names were being looked up on our side."),
    "no_name": _("There is no server with this name."),
    "redirect": _("It led to another address; only 307 and 308 are followed, three times."),
    "secret_unreadable": _("The secret cannot be read on our side. Rotate it."),
    "status": _("The answer was not 2xx."),
    "timeout": _("No answer came in time."),
    "tls": _("The certificate cannot be trusted, or it does not speak TLS."),
    "unreachable": _("No server listens there, or it cannot be reached."),
}
REASON_WORDS: dict[str, str] = {
    "paused": _("Paused. What happens meanwhile is kept, to be sent later."),
    "failing": _("Switched off after five days of nothing but failures."),
    "gone": _("Switched off: it answered 410, which means that nothing is wanted any more."),
}
