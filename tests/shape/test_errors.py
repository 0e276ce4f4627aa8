"""Error codes are API: unique, stable in form, and each says what it means."""

import importlib
import pkgutil
import re

import bitcache_server
from bitcache_server.domain.errors import BitcacheError, NodeUnreachable, RailError
from bitcache_server.http.errors import STATUS, status_of


def every_error() -> list[type[BitcacheError]]:
    """Import the whole server, so that an error class cannot hide in any module."""
    for module in pkgutil.walk_packages(bitcache_server.__path__, "bitcache_server."):
        importlib.import_module(module.name)
    found, queue = [], [BitcacheError]
    while queue:
        error = queue.pop()
        found.append(error)
        queue.extend(error.__subclasses__())
    return [error for error in found if error.__module__.startswith("bitcache_server.")]


def all_errors() -> list[type[BitcacheError]]:
    return [e for e in every_error() if e.__module__.startswith("bitcache_server.domain.errors")]


def test_a_modules_own_special_case_speaks_as_what_it_is_a_case_of() -> None:
    own = set(every_error()) - set(all_errors())
    assert own
    assert [e.__name__ for e in own if {"code", "title"} & vars(e).keys()] == []
    assert [e.__name__ for e in own if status_of(e) == 500] == []


def test_no_two_errors_share_a_code() -> None:
    by_code: dict[str, list[str]] = {}
    for error in all_errors():
        by_code.setdefault(error.code, []).append(error.__name__)
    assert len(by_code) > 40
    assert {code: names for code, names in by_code.items() if len(names) > 1} == {}


def test_codes_are_words_that_never_need_quoting() -> None:
    assert [
        e.code for e in all_errors() if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", e.code)
    ] == []


def test_each_error_defines_its_own_code_and_title() -> None:
    incomplete = [
        error.__name__
        for error in all_errors()
        if "code" not in vars(error)
        or not re.fullmatch(r"[A-Z].*[^.]", vars(error).get("title", ""))
    ]
    assert incomplete == []


def test_an_error_without_detail_says_its_title() -> None:
    assert [e.__name__ for e in all_errors() if e().detail != e.title] == []


def test_http_statuses_name_the_callers_faults_and_passing_ones() -> None:
    assert {status for status in STATUS.values() if not 400 <= status < 500} <= {503}


def test_a_special_case_has_the_status_of_what_it_is_a_case_of() -> None:
    assert NodeUnreachable not in STATUS
    assert status_of(NodeUnreachable) == STATUS[RailError]
    assert status_of(BitcacheError) == 500
