"""Links that shops sign and tokens that customers bring back, in Python and in plain JavaScript."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.domain.errors import LinkInvalid
from bitcache_server.tokens.orders import check_link, check_order
from tests.vectors import make_orders
from tests.vectors.make import SITE

VECTORS: dict[str, Any] = json.loads(make_orders.FILE.read_text("ascii"))
CHECKER = make_orders.FILE.with_name("check_orders.mjs")


@pytest.mark.parametrize("case", VECTORS["links"], ids=lambda case: case["name"])
def test_python_reads_the_links(case: dict[str, Any]) -> None:
    secrets = tuple(case["secrets"])
    if case["valid"]:
        check_link(secrets, case["parameters"], case["signature"])
        return
    with pytest.raises(LinkInvalid):
        check_link(secrets, case["parameters"], case["signature"])


@pytest.mark.parametrize("case", VECTORS["tokens"], ids=lambda case: case["name"])
def test_python_reads_the_tokens(case: dict[str, Any]) -> None:
    secrets = tuple(case["secrets"])
    if case["valid"]:
        assert vars(check_order(secrets, case["token"], site=SITE)) == case["claims"]
        return
    with pytest.raises(LinkInvalid):
        check_order(secrets, case["token"], site=SITE)


def test_a_token_of_another_site_is_none_of_ours() -> None:
    case = VECTORS["tokens"][0]
    with pytest.raises(LinkInvalid):
        check_order(tuple(case["secrets"]), case["token"], site="st_other")


def test_a_line_end_in_a_value_is_refused() -> None:
    """Otherwise two links would have the same signature."""
    case = VECTORS["links"][0]
    joined = {**case["parameters"], "currency": "USD\nexpires=1800000600"}
    del joined["expires"]
    with pytest.raises(LinkInvalid):
        check_link(tuple(case["secrets"]), joined, case["signature"])


def test_the_file_is_what_the_script_makes() -> None:
    assert make_orders.FILE.read_text("ascii") == make_orders.text(), (
        "run: python -m tests.vectors.make_orders"
    )


def run_checker(*arguments: str) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node")
    assert node, "Node.js is needed for this test"
    return subprocess.run(
        [node, str(CHECKER), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_javascript_reads_the_vectors() -> None:
    done = run_checker()
    assert (done.returncode, done.stdout) == (0, "12 cases\n"), done.stderr


def test_the_javascript_checker_can_fail(tmp_path: Path) -> None:
    twisted = {
        "links": [{**case, "valid": not case["valid"]} for case in VECTORS["links"]],
        "tokens": [{**case, "claims": {}} for case in VECTORS["tokens"]],
    }
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(twisted))
    done = run_checker(str(file))
    assert (done.returncode, done.stdout.count("\n")) == (1, 13)
