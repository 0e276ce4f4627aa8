"""Error codes are API: unique, stable in form, and each says what it means."""

import importlib
import pkgutil
import re

import bitcache_server
from bitcache_server.domain.errors import BitcacheError
from bitcache_server.http.errors import STATUS


def all_errors() -> list[type[BitcacheError]]:
    """Import the whole server, so that an error class cannot hide in any module."""
    for module in pkgutil.walk_packages(bitcache_server.__path__, "bitcache_server."):
        importlib.import_module(module.name)
    found, queue = [], [BitcacheError]
    while queue:
        error = queue.pop()
        found.append(error)
        queue.extend(error.__subclasses__())
    return [error for error in found if error.__module__.startswith("bitcache_server.")]


def test_no_two_errors_share_a_code() -> None:
    by_code: dict[str, list[str]] = {}
    for error in all_errors():
        by_code.setdefault(error.code, []).append(error.__name__)
    assert len(by_code) > 40
    assert {code: names for code, names in by_code.items() if len(names) > 1} == {}


def test_codes_are_words_that_never_need_quoting() -> None:
    assert [e.code for e in all_errors() if not re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", e.code)] == []


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


def test_a_special_case_of_an_error_has_an_http_status_of_its_own() -> None:
    # A class is looked up by itself; its parent's status would not be found.
    forgotten = [
        error.__name__
        for error in all_errors()
        if error not in STATUS and STATUS.keys() & set(error.__mro__)
    ]
    assert forgotten == []
