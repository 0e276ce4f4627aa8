"""``bitcache jobs``: the process that watches payments and tidies up."""

import click

from bitcache_server.cli.output import emit, json_option, note
from bitcache_server.cli.work import app_of_settings
from bitcache_server.jobs import run_jobs
from bitcache_server.logs import configure_logs
from bitcache_server.settings import load_settings


@click.command()
@click.option("--once", is_flag=True, help="Run each job one time and stop, as for cron.")
@json_option
def jobs(once: bool) -> int:
    """Watch for payments, let invoices expire, fetch rates, tidy up.

    Without it nothing is ever paid. Any number may run, also on other machines: they
    share the work. Ends on Ctrl-C or SIGTERM after the step that is under way.

    \b
    Examples:
      bitcache jobs
      bitcache jobs --once     exit code 1 if a job failed; the reason stands in the log
    """
    configure_logs(load_settings())
    with app_of_settings() as app:
        if not once:
            note("The jobs run. Ctrl-C ends them.")
        well = run_jobs(app, only_once=once)
    emit({"ok": well}, ["All jobs ran." if well else "A job failed."] if once else [])
    return 0 if well else 1
