"""Average precision by the rules of several tools, from files to a table."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from vru.domain import VruError
from vru.evaluation.cli.inputs import predictions_of, truth_of
from vru.evaluation.cli.options import Reading, write
from vru.evaluation.core.tables import DataSet
from vru.evaluation.detection.coco import evaluate_coco
from vru.evaluation.study.explain import COCO, HABITS, TOOLS, average_precision, steps


def run(*, reading: Reading, truth: Path, predictions: Path, json_path: Path | None) -> None:
    """Do what is asked.

    Raises:
        VruError: the input is not what it should be, or has no truth.
    """
    content = explained(predictions_of(predictions, truth_of(truth, reading), reading).data)
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    if json_path is not None and str(json_path) == "-":
        click.echo(text, nl=False)
        return
    if json_path is not None:
        write(json_path, text.encode())
    _show(content)


def explained(data: DataSet) -> dict[str, Any]:
    """Everything, ready for JSON: our own figure, each tool's with the steps to it, and habits of scripts.

    Raises:
        VruError: no class has truth.
    """
    ours, coco = evaluate_coco(data).average_precision(overlap=0.5), average_precision(data, COCO)
    if ours is None or coco is None:
        raise VruError("The truth has no box that counts: there is no average precision to explain.")
    tools = {}
    for name, rules in TOOLS.items():
        before: float = coco
        rows = []
        for step in steps(data, rules):
            after = before if step.ap is None else step.ap
            rows.append({"rule": step.rule, "value": step.value, "ap50": step.ap, "points": 100 * (after - before)})
            before = after
        tools[name] = {"ap50": average_precision(data, rules), "steps": rows}
    habits = {name: average_precision(data, rules) for name, rules in HABITS.items()}
    return {"ours": ours, "tools": tools, "habits": habits}


def _show(content: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table(
        "tool, and the rules changed on the way", "AP50", "points", title="AP50 by tool", title_justify="left"
    )
    table.add_row("vru evaluate", f"{content['ours']:.4f}", "")
    for name, tool in content["tools"].items():
        table.add_row(name, _number(tool["ap50"]), "")
        for step in tool["steps"]:
            table.add_row(f"  {step['rule']}: {step['value']}", _number(step["ap50"]), f"{step['points']:+.2f}")
    console.print(table)
    habits = Table("pycocotools' rules, but", "AP50", "points", title="Habits of scripts", title_justify="left")
    for name, value in content["habits"].items():
        points = "" if value is None else f"{100 * (value - content['ours']):+.2f}"
        habits.add_row(name, _number(value), points)
    console.print(habits)
    console.print("Rules are changed one after the other: what one is worth depends on those before it.", style="dim")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
