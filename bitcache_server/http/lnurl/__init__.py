"""LNURL: what Lightning wallets call (https://github.com/lnurl/luds).

Each module has ``add_routes(calls)``. Errors have the form of LUD-01; its clients read the
body and ignore the status, and the careless ones give up before the body when it is none
of 200. So a refusal is 200, and the status says only what a proxy must know.
"""

import json

from flask import Blueprint, Flask, Response
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import BitcacheError, RateLimited
from bitcache_server.http.errors import log_unexpected, problem, translate
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.http.lnurl import auth, pay, verify, withdraw

MODULES = (auth, pay, verify, withdraw)


def register(app: Flask) -> None:
    """Add the calls to an app."""
    calls = Blueprint("lnurl", __name__)
    calls.register_error_handler(Exception, _answer_error)
    calls.before_request(lambda: check_limit(READS))
    calls.after_request(_headers)
    for module in MODULES:
        module.add_routes(calls)
    app.register_blueprint(calls)


def _answer_error(error: Exception) -> ResponseReturnValue:
    translated = translate(error)
    log_unexpected(translated)
    body, status, headers = problem(translated)
    answer = {"status": "ERROR", "reason": str(body["detail"]), "code": str(body["code"])}
    kept = {name: headers[name] for name in ("Retry-After",) if name in headers}
    return Response(
        json.dumps(answer), _status(translated, status), kept, content_type="application/json"
    )


def _status(error: BitcacheError, status: int) -> int:
    return status if status >= 500 or status == 404 or isinstance(error, RateLimited) else 200


def _headers(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    # Wallets in browsers call from their own pages; nothing here depends on cookies.
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response
