"""How the plugin's PHP is written: PHP_CodeSniffer, ``php -l``, and what those do not measure."""

import json
import subprocess
from pathlib import Path
from textwrap import indent

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "wordpress"
STYLE = PLUGIN / "phpcs.xml"
MEASURE = Path(__file__).with_name("measure.php")
FILES = tuple(sorted(PLUGIN.rglob("*.php")))
CLASSES = tuple(sorted((PLUGIN / "includes").rglob("*.php")))

MAX_LINES = 350
MAX_FUNCTION_LINES = 45
#: Without the texts in a line, which cannot be broken.
MAX_WIDTH = 180

Measure = tuple[str, str, int, int]


def sniff(*files: Path) -> str:
    """Return what PHP_CodeSniffer says of some files."""
    command = ["phpcs", f"--standard={STYLE}", "--report=emacs", "--parallel=2", "-q"]
    done = subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stderr == ""
    return done.stdout.strip()


def measured(*files: Path) -> list[Measure]:
    """Return what ``measure.php`` finds."""
    command = ["php", str(MEASURE), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def too_much(what: str, limit: int, *files: Path) -> list[Measure]:
    """Return what is more than a limit."""
    return [found for found in measured(*files) if found[0] == what and found[3] > limit]


def test_the_sniffer_is_content() -> None:
    assert len(FILES) > 100
    assert sniff(PLUGIN) == ""


def test_php_takes_every_file() -> None:
    """``php -l`` compiles, which finds more than reading does; the other versions read."""
    names = "\0".join(map(str, FILES)).encode()
    command = ["xargs", "-0", "-n1", "-P2", "php", "-d", "display_errors=stderr", "-l"]
    done = subprocess.run(command, input=names, capture_output=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"No syntax errors") == len(FILES)


def test_files_and_functions_are_short() -> None:
    code = [path for path in FILES if path.parent.name != "languages"]
    long = [path for path in code if len(path.read_text().splitlines()) > MAX_LINES]
    assert long == []
    assert too_much("function", MAX_FUNCTION_LINES, *code) == []
    assert too_much("width", MAX_WIDTH, *code) == []


def test_a_file_is_one_class_at_its_own_place() -> None:
    counted = {found[1]: found[3] for found in measured(*CLASSES) if found[0] == "classes"}
    assert len(counted) == len(CLASSES)
    assert [name for name, count in counted.items() if count != 1] == []
    for path in CLASSES:
        text = path.read_text()
        folder = path.relative_to(PLUGIN / "includes").parent.parts
        assert f"namespace {chr(92).join(('Bitcache', *folder))};" in text, path
        assert f"class {path.stem}" in text, path


BAD = {
    "spaces in place of tabs": "    $a = 1;",
    "short arrays": "\t$a = [ 1 ];",
    "a silenced error": "\t$a = @file( 'x' );",
    "eval": "\teval( 'x();' );",
    "extract": "\textract( $a );",
    "var_dump": "\tvar_dump( $a );",
    "print_r": "\tprint_r( $a );",
    "error_log": "\terror_log( 'x' );",
    "unserialize": "\tunserialize( $a );",
    "a shell": "\tshell_exec( $a );",
    "PHP 8": "\tstr_contains( $a, 'x' );",
    "no space in a call": "\tfoo($a);",
    "no braces": "\tif ( $a ) return;",
    "a note to oneself": "\t// TODO: more.\n\t$a = 1;",
    "code in a comment": "\t// $a = foo( $b );\n\t// $c = bar( $a );\n\t$a = 1;",
    "a jungle": "\tif ( $a ) {\n\t\tfoo();\n\t}\n" * 13,
    "a staircase": "".join(
        "\t" * depth + "if ( $a ) {\n" if depth < 6 else "\t" * (11 - depth) + "}\n"
        for depth in range(1, 11)
    ),
    "an empty catch": "\ttry {\n\t\tfoo();\n\t} catch ( \\Exception $e ) {\n\t}",
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the sniffer says of everything bad, in one start."""
    folder = tmp_path_factory.mktemp("bad")
    for name, body in {"good": "\t$a = foo( 'x' );", **BAD}.items():
        (folder / f"{name}.php").write_text(
            "<?php\n/**\n * A file.\n *\n * @package Bitcache\n */\n\n"
            "/** A class. */\nclass A {\n\n\t/** A method. */\n\tpublic function f(): void {\n"
            + indent(body.rstrip(), "\t")
            + "\n\t}\n}\n"
        )
    return sniff(folder)


@pytest.mark.parametrize("name", BAD)
def test_the_sniffer_finds(name: str, said: str) -> None:
    assert f"/{name}.php:" in said


def test_the_sniffer_leaves_good_code_alone(said: str) -> None:
    assert "/good.php:" not in said


def test_measuring_finds_what_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "long.php"
    path.write_text(
        "<?php\nclass A {\n\tfunction f() {\n" + "\t\tg();\n" * 45 + "\t}\n}\n"
        "class B {\n\tfunction f() {\n\t\t// Not code.\n\n\t\treturn '" + "x" * 300 + "';\n\t}\n}\n"
        "$a = " + "1 + " * 50 + "1;\n"
    )
    assert [found[2] for found in too_much("function", MAX_FUNCTION_LINES, path)] == [3]
    assert [found[2] for found in too_much("width", MAX_WIDTH, path)] == [58]
    assert [found[3] for found in too_much("classes", 1, path)] == [2]
