"""The shared vectors, read in Python and in plain JavaScript."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.domain.errors import (
    GrantExpired,
    GrantInvalid,
    GrantMissing,
    LinkExpired,
    LinkInvalid,
    ReceiptInvalid,
)
from bitcache_server.tokens.grants import GrantSigner
from bitcache_server.tokens.receipts import check_receipt
from tests.vectors import make

CASES: list[dict[str, Any]] = json.loads(make.FILE.read_text("ascii"))["cases"]
CHECKER = make.FILE.with_name("check.mjs")


def judge(case: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    signer = GrantSigner(tuple(case["secrets"]))
    token, site, item, now = (case[key] for key in ("token", "site", "item", "now"))
    claims: object
    try:
        if case["purpose"] == "bitcache.grant.v1":
            claims = signer.check(token, site=site, item=item, now=now)
        elif case["purpose"] == "bitcache.download.v1":
            claims = signer.check_download(token, site=site, item=item, now=now)
        else:
            claims = check_receipt(signer, token, site=site)
    except (GrantExpired, LinkExpired):
        return "expired", None
    except (GrantInvalid, GrantMissing, LinkInvalid, ReceiptInvalid):
        return "invalid", None
    return "valid", dict(vars(claims))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_python_reads_the_vectors(case: dict[str, Any]) -> None:
    assert judge(case) == (case["expect"], case["claims"])


def test_names_are_unique_and_all_verdicts_occur() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    for purpose in ("bitcache.grant.v1", "bitcache.download.v1"):
        found = {case["expect"] for case in CASES if case["purpose"] == purpose}
        assert found == {"valid", "invalid", "expired"}


def test_the_file_is_what_the_script_makes() -> None:
    assert make.FILE.read_text("ascii") == make.text(), "run: python -m tests.vectors.make"


def run_checker(*arguments: str) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node")
    assert node, "Node.js is needed for this test"
    return subprocess.run(
        [node, str(CHECKER), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_javascript_reads_the_vectors() -> None:
    done = run_checker()
    assert (done.returncode, done.stdout) == (0, f"{len(CASES)} cases\n"), done.stderr


def test_the_javascript_checker_can_fail(tmp_path: Path) -> None:
    twisted = {"valid": "invalid", "invalid": "valid", "expired": "valid"}
    wrong = [case | {"expect": twisted[case["expect"]]} for case in CASES]
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({"cases": wrong}))
    done = run_checker(str(file))
    assert done.returncode == 1
    assert done.stdout.count("\n") == len(CASES) + 1
