"""`vru audit`: who changed what, and whether the record is whole."""

import json

import click

from vru.deploy.commands.common import with_server
from vru.deploy.console import log_file
from vru.deploy.console.reporter import Reporter
from vru.deploy.pipeline import phases
from vru.deploy.server import audit_checkpoints, host_program
from vru.domain import VruError
from vru.host.base.terminal import table
from vru.host.lock import audit as chain
from vru.host.wire import AuditHead


@click.command()
@click.option("--tail", type=click.IntRange(1), default=30, show_default=True, help="Show the last lines only.")
@click.option("--check", "check_only", is_flag=True, help="Check only.")
@click.option("--forget", is_flag=True, help="Forget what this laptop saw: the server was set up anew.")
@with_server
def audit(target: phases.Target, report: Reporter, as_json: bool, tail: int, check_only: bool, forget: bool) -> None:
    """Show who changed what on the server, and check that nothing was altered, added, taken out or cut off.

    Exits with 1 if something was. All lines are checked, and also whether those that this laptop saw earlier are still
    the same.
    """
    with target.connect() as server:
        address = server.address
        # The program's exit code says that the chain is broken; what is broken is for this laptop to find.
        answer = host_program.run(server, "audit", "--json", check=False).stdout
    try:
        found = json.loads(answer)
        entries, head = found["entries"], found["head"]
    except (ValueError, KeyError) as error:
        raise log_file.unreadable("The server's audit", answer, error) from error
    if forget:
        audit_checkpoints.forget(address)
    problems = [*chain.check(entries, head), *audit_checkpoints.contradictions(address, entries)]
    if not as_json and entries and not check_only:
        table([chain.row(entry) for entry in entries[-tail:]], chain.COLUMNS)
    if problems:
        raise VruError(
            f"The audit is broken. {problems[0]}",
            "Find out who has root on the server. If you know why: vru audit --forget drops what this laptop saw.",
        )
    audit_checkpoints.record(address, None if head is None else AuditHead(head["seq"], head["hash"]))
    data = {"lines": len(entries), "head": head} | ({} if check_only else {"entries": entries[-tail:]})
    report.result(f"{len(entries)} lines, the chain is whole.", data)
