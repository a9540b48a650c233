"""The root of ``vru``. A room's commands are imported only when one of them is called."""

import importlib
import importlib.util

import click

# command -> module:attribute, one line of help. The help stands here so that `vru --help` imports no room.
_COMMANDS = {
    "init": ("vru.deploy.commands.deploying:init", "Write .env.production with generated passwords."),
    "render": ("vru.deploy.commands.deploying:render", "Write the generated configs to config/production/."),
    "validate": ("vru.deploy.commands.deploying:validate", "Say what would stop a deployment."),
    "plan": ("vru.deploy.commands.deploying:plan", "Say what a deployment would change, and what drifted."),
    "setup": ("vru.deploy.commands.deploying:setup", "Prepare the server: Docker, directories, firewall, units."),
    "deploy": ("vru.deploy.commands.deploying:deploy", "Put the platform on the server."),
    "update": ("vru.deploy.commands.deploying:update", "Put changed code or settings live."),
    "releases": ("vru.deploy.commands.releases:releases", "Show the releases that the server keeps."),
    "rollback": ("vru.deploy.commands.releases:rollback", "Go back to an earlier release, without building anything."),
    "verify": ("vru.deploy.commands.running:verify", "Check that the running platform is whole."),
    "status": ("vru.deploy.commands.running:status", "Show the services on the server."),
    "logs": ("vru.deploy.commands.running:logs", "Show the services' log lines."),
    "tunnel": ("vru.deploy.commands.operating:open_tunnel", "Open a service on this laptop, over SSH."),
    "exec": ("vru.deploy.commands.operating:run_inside", "Run a command in a service's container."),
    "maintenance": ("vru.deploy.commands.operating:maintenance", "Close the platform to its users for a while."),
    "lock": ("vru.deploy.commands.guarding:lock", "Keep others' changes out of the server for a while."),
    "audit": ("vru.deploy.commands.guarding:audit", "Show who changed what, and check the record."),
    "doctor": ("vru.deploy.commands.doctor:doctor", "Name what is wrong with laptop and server, with the fix."),
    "evaluate": ("vru.evaluation.cli.evaluate:evaluate", "Measure detections against ground truth, and judge them."),
    "compare": ("vru.evaluation.cli.compare:compare", "Say whether a new version of a model is worse."),
    "explain": ("vru.evaluation.cli.explain:explain", "Say why average precision differs from tool to tool."),
    "truth": ("vru.evaluation.cli.truth:truth", "Say how good ground truth is: agreement, effect of label noise."),
    "model": ("vru.ml_engine.cli.model:model", "Bring your own detector: add, try, list and remove models."),
    "detect": ("vru.ml_engine.cli.detect:detect", "Run a model on a video or on pictures, without a server."),
    "evidence": ("vru.reports.cli:evidence", "Check the signed evidence of a validation run."),
    "new": ("vru.project.new:new", "Lay out a new project in an empty folder."),
    "local": ("vru.local.cli:local", "Run the whole platform on this machine, without Docker."),
}

# Commands that need more than the base install: the extra, and what of it they import, later than their help.
_EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = dict.fromkeys(
    ("evaluate", "compare", "explain", "truth"), ("evaluation", ("numpy", "scipy", "defusedxml"))
)
_EXTRAS |= dict.fromkeys(("model", "detect"), ("ml-engine", ("numpy", "onnx", "onnxruntime", "cv2", "av")))


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name][0].split(":")
        extra, needed = _EXTRAS.get(cmd_name, ("", ()))
        missing = [module_name for module_name in needed if importlib.util.find_spec(module_name) is None]
        if missing:
            raise click.UsageError(
                f"{missing[0]} is not installed: `vru {cmd_name}` needs the extra {extra!r}.\n"
                f"  Install it: pip install 'vru-platform[{extra}]', or `make` in a checkout."
            )
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - _COMMANDS names commands only
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


def _version(context: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from vru.project.version import version

        click.echo(version())
        context.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def main() -> None:
    """Put VRU Platform on a Linux server, and keep it there safely.

    Exit codes: 0 it worked; 1 it failed, or something would stop a deployment; 2 wrong usage; 3 the server cannot be
    reached or its host key is not accepted; 4 (plan --exit-code) there is something to change; 130 interrupted.
    """
