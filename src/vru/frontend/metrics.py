"""``python -m vru.frontend.metrics FILE``: the metrics and the default criteria for the page, as TypeScript.

``make client`` writes ``web/src/lib/metrics.gen.ts``; a test fails while that is not what the domain says.
"""

import json
import sys
from math import isfinite
from pathlib import Path
from typing import Any

from vru.domain import DEFAULT_CRITERIA
from vru.domain.metrics import METRICS, Metric

_HEAD = """// Made by `make client` from vru.domain: change src/vru/domain/metrics.py or criteria.py instead.

export interface Metric {
  label: string;
  meaning: string;
  unit: string;
  decimals: number;
  better: ">=" | "<=";
  /** The values that it can have; null where there is no end. */
  least: number | null;
  most: number | null;
  /** A count or a property of the run, no estimate: it has no interval. */
  exact: boolean;
}
"""


def _row(metric: Metric) -> dict[str, Any]:
    return {
        "label": metric.label,
        # A sentence, as tooltips show it.
        "meaning": f"{metric.meaning[0].upper()}{metric.meaning[1:]}.",
        "unit": metric.unit,
        "decimals": metric.decimals,
        "better": metric.better,
        "least": metric.least if isfinite(metric.least) else None,
        "most": metric.most if isfinite(metric.most) else None,
        "exact": metric.exact,
    }


def typescript() -> str:
    """The module."""
    metrics = {name: _row(metric) for name, metric in METRICS.items()}
    criteria = [
        {"metric": item.metric, "comparator": item.comparator, "threshold": item.threshold} for item in DEFAULT_CRITERIA
    ]
    return (
        f"{_HEAD}\nexport const METRICS = {json.dumps(metrics, indent=2)} satisfies Record<string, Metric>;\n"
        f"\n/** What a project asks for if nobody says otherwise. */\n"
        f"export const DEFAULT_CRITERIA = {json.dumps(criteria, indent=2)} as const;\n"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(typescript())
