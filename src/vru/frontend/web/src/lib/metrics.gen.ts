// Made by `make client` from vru.domain: change src/vru/domain/metrics.py or criteria.py instead.

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

export const METRICS = {
  "precision": {
    "label": "Precision",
    "meaning": "Share of the detections at or above the confidence threshold that are right: TP / (TP + FP).",
    "unit": "",
    "decimals": 3,
    "better": ">=",
    "least": 0.0,
    "most": 1.0,
    "exact": false
  },
  "recall": {
    "label": "Recall",
    "meaning": "Share of the truth boxes found at the confidence threshold: TP / (TP + FN).",
    "unit": "",
    "decimals": 3,
    "better": ">=",
    "least": 0.0,
    "most": 1.0,
    "exact": false
  },
  "f1": {
    "label": "F1",
    "meaning": "Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).",
    "unit": "",
    "decimals": 3,
    "better": ">=",
    "least": 0.0,
    "most": 1.0,
    "exact": false
  },
  "ap50": {
    "label": "AP50",
    "meaning": "Average precision at an overlap of 0.5, mean over the classes.",
    "unit": "",
    "decimals": 3,
    "better": ">=",
    "least": 0.0,
    "most": 1.0,
    "exact": false
  },
  "track_recall": {
    "label": "Track recall",
    "meaning": "Share of road users (tracks) found in at least one frame.",
    "unit": "",
    "decimals": 3,
    "better": ">=",
    "least": 0.0,
    "most": 1.0,
    "exact": false
  },
  "latency_median_ms": {
    "label": "Median detection latency",
    "meaning": "Time from becoming visible within which half of all road users are found; a miss counts as never.",
    "unit": "ms",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  },
  "latency_p95_ms": {
    "label": "95th percentile latency",
    "meaning": "Time from becoming visible within which 95 % of all road users are found; a miss counts as never.",
    "unit": "ms",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  },
  "latency_resolution_ms": {
    "label": "Latency resolution",
    "meaning": "Longest time between two evaluated frames: latencies are too long by up to this.",
    "unit": "ms",
    "decimals": 1,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": true
  },
  "latency_reasonable_median_ms": {
    "label": "Median latency from reasonable size",
    "meaning": "As the median latency, from the first box of reasonable height on.",
    "unit": "ms",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  },
  "latency_reasonable_p95_ms": {
    "label": "95th percentile latency from reasonable size",
    "meaning": "As the 95 % latency, from the first box of reasonable height on.",
    "unit": "ms",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  },
  "longest_gap_median_ms": {
    "label": "Median longest gap",
    "meaning": "Median over road users of the longest time visible without being detected.",
    "unit": "ms",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  },
  "longest_gap_p95_ms": {
    "label": "95th percentile longest gap",
    "meaning": "95 % quantile over road users of the longest time visible without being detected.",
    "unit": "ms",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  },
  "reacquisition_median_ms": {
    "label": "Median re-acquisition",
    "meaning": "Median over road users who were lost of the slowest time until found again.",
    "unit": "ms",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  },
  "reacquisition_p95_ms": {
    "label": "95th percentile re-acquisition",
    "meaning": "95 % quantile over road users who were lost of the slowest time until found again.",
    "unit": "ms",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  },
  "false_alarms_per_minute": {
    "label": "False alarms",
    "meaning": "False alarms per minute of evaluated video.",
    "unit": "1/min",
    "decimals": 2,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  },
  "tracks_not_evaluated": {
    "label": "Tracks not evaluated",
    "meaning": "Road users whom no evaluated frame shows.",
    "unit": "tracks",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": true
  },
  "latency_jitter_ms": {
    "label": "Latency jitter",
    "meaning": "Standard deviation of the latencies about their trend.",
    "unit": "ms",
    "decimals": 2,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  },
  "latency_drift_ppm": {
    "label": "Latency drift",
    "meaning": "How latency changes over the run, microseconds a second.",
    "unit": "ppm",
    "decimals": 1,
    "better": "<=",
    "least": null,
    "most": null,
    "exact": false
  },
  "latency_uncertainty_ms": {
    "label": "Latency uncertainty",
    "meaning": "Uncertainty of a latency by the join of the two clocks.",
    "unit": "ms",
    "decimals": 2,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": true
  },
  "false_alarm_signals": {
    "label": "False signals",
    "meaning": "Signals at which nobody was visible.",
    "unit": "signals",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": true
  },
  "early_signals": {
    "label": "Early signals",
    "meaning": "Signals shortly before a road user became visible.",
    "unit": "signals",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": true
  },
  "duplicate_signals": {
    "label": "Duplicate signals",
    "meaning": "Signals of a road user already signalled.",
    "unit": "signals",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": true
  },
  "ambiguous_detections": {
    "label": "Ambiguous detections",
    "meaning": "Road users whose signal might be that of another one.",
    "unit": "tracks",
    "decimals": 0,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": true
  },
  "offset_ms": {
    "label": "Clock offset",
    "meaning": "What the signals' clock shows at media time 0.",
    "unit": "ms",
    "decimals": 2,
    "better": "<=",
    "least": null,
    "most": null,
    "exact": false
  },
  "offset_drift_ppm": {
    "label": "Clock drift",
    "meaning": "How much faster the signals' clock runs than the video's.",
    "unit": "ppm",
    "decimals": 2,
    "better": "<=",
    "least": null,
    "most": null,
    "exact": false
  },
  "offset_jitter_ms": {
    "label": "Marker jitter",
    "meaning": "Scatter of a single marker about the join of the clocks.",
    "unit": "ms",
    "decimals": 2,
    "better": "<=",
    "least": 0.0,
    "most": null,
    "exact": false
  }
} satisfies Record<string, Metric>;

/** What a project asks for if nobody says otherwise. */
export const DEFAULT_CRITERIA = [
  {
    "metric": "precision",
    "comparator": ">=",
    "threshold": 0.9
  },
  {
    "metric": "recall",
    "comparator": ">=",
    "threshold": 0.95
  },
  {
    "metric": "f1",
    "comparator": ">=",
    "threshold": 0.92
  },
  {
    "metric": "latency_median_ms",
    "comparator": "<=",
    "threshold": 50.0
  },
  {
    "metric": "latency_p95_ms",
    "comparator": "<=",
    "threshold": 100.0
  },
  {
    "metric": "false_alarms_per_minute",
    "comparator": "<=",
    "threshold": 0.1
  }
] as const;
