"""The command ``bitcache``: one file for each group of commands.

In their help texts ``\\b`` is click's mark for a paragraph that keeps its lines.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from bitcache_server import __version__
from bitcache_server.cli.output import fail
from bitcache_server.domain.errors import BitcacheError

__all__ = ["main"]

#: What a shell reports for a program that Ctrl-C ended.
_INTERRUPTED = 130
#: The commands: the file of this folder that each stands in, and its name there.
_COMMANDS = {
    "account": "account.account",
    "backup": "backup.backup",
    "db": "db.db_group",
    "doctor": "doctor.doctor",
    "gift": "gift.gift",
    "init": "init.init",
    "invoice": "invoice.invoice",
    "item": "item.item",
    "jobs": "jobs.jobs",
    "ledger": "ledger.ledger",
    "merchant": "merchant.merchant",
    "operator": "operator.operator",
    "payout": "payout.payout",
    "refund": "refund.refund",
    "restore": "backup.restore",
    "serve": "serve.serve",
    "site": "site.site",
}


class Bitcache(click.Group):
    """Turns every expected error into one sentence, and an exit code.

    Only the command that is called is read in, with the libraries that it needs.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None where there is none of this name."""
        if cmd_name not in _COMMANDS:
            return None
        file, _, name = _COMMANDS[cmd_name].partition(".")
        command: click.Command = getattr(import_module(f"{__name__}.{file}"), name)
        return command

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command: exit code 0, or 1 for an error, or 2 for a wrong call."""
        words = list(sys.argv[1:] if args is None else args)
        # A terminal that cannot show a letter gets its number, and no command breaks over it.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        code = self._run(words, prog_name, complete_var, **extra)
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(
        self, words: list[str], prog_name: str | None, complete_var: str | None, **extra: Any
    ) -> int:
        # Looked for by hand: a call that cannot be parsed gets its error as JSON, too.
        as_json = "--json" in words
        try:
            code = super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
            return int(code or 0)
        except click.UsageError as error:
            if as_json:
                fail("usage_error", error.format_message(), as_json)
            else:
                error.show()
            return error.exit_code
        except click.ClickException as error:
            fail("command_failed", error.format_message(), as_json)
        except click.Abort:
            fail("interrupted", "Interrupted; nothing more was done.", as_json)
            return _INTERRUPTED
        except BitcacheError as error:
            fail(error.code, error.detail, as_json)
        except SQLAlchemyError as error:
            # The message would carry the statement and its values.
            fail("storage_error", f"The database refused ({type(error).__name__}).", as_json)
        except UnicodeError:
            fail("invalid_request", "A value is not text in UTF-8.", as_json)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            fail("system_error", f"{where}{error.strerror or type(error).__name__}.", as_json)
        return 1


@click.group(
    cls=Bitcache,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings come from bitcache.toml in this folder, or from the file that "
    "BITCACHE_CONFIG names, or from BITCACHE_… variables.",
)
@click.version_option(__version__, "--version", prog_name="bitcache")
def main() -> None:
    """Sell articles and files for a few cents in bitcoin.

    \b
    First steps:
      bitcache init
      bitcache merchant add --name "Jane" --descriptor "wpkh(xpub…/0/*)"
      bitcache site add --merchant me_… --name "Jane's blog" --origin https://jane.example
      bitcache item add --site st_… --title "My story" --price 2.00 --article story.html
      bitcache serve          (and, in another terminal: bitcache jobs)
      bitcache doctor         says what does not work yet, and how to mend it
    """
