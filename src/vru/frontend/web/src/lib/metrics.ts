import type { Criterion, Measurement } from "@/api/types";
import defaults from "./default-criteria.json";
import { formatNumber, humanise, UNKNOWN } from "./format";

interface MetricInfo {
  label: string;
  meaning: string;
  unit: string;
  decimals: number;
  /** Ratios run from 0 to 1; the scale of other metrics follows the figures. */
  ratio: boolean;
  better: ">=" | "<=";
  /** A count or a property of the run, no estimate: it has no interval. */
  exact?: true;
}

const ratio = (label: string, meaning: string): MetricInfo => ({
  label,
  meaning,
  unit: "",
  decimals: 3,
  ratio: true,
  better: ">=",
});

const number = (label: string, meaning: string, unit: string, decimals: number): MetricInfo => ({
  label,
  meaning,
  unit,
  decimals,
  ratio: false,
  better: "<=",
});

const exact = (label: string, meaning: string, unit: string, decimals: number): MetricInfo => ({
  ...number(label, meaning, unit, decimals),
  exact: true,
});

const METRICS: Record<string, MetricInfo> = {
  precision: ratio("Precision", "Share of detections that match a road user."),
  recall: ratio("Recall", "Share of road users' boxes that were detected."),
  f1: ratio("F1", "Harmonic mean of precision and recall."),
  ap50: ratio("AP50", "Average precision over all scores, at an overlap of 0.5."),
  track_recall: ratio("Track recall", "Share of road users that were detected at all."),
  tracks_detected: ratio("Tracks detected", "Share of road users that were detected at all."),
  latency_median_ms: {
    label: "Median detection latency",
    meaning: "Time from first visible to first detected, for half of the road users. A miss counts as never.",
    unit: "ms",
    decimals: 0,
    ratio: false,
    better: "<=",
  },
  latency_p95_ms: {
    label: "95th percentile latency",
    meaning: "Time from first visible to first detected, for 95 of 100 road users. A miss counts as never.",
    unit: "ms",
    decimals: 0,
    ratio: false,
    better: "<=",
  },
  latency_resolution_ms: exact(
    "Latency resolution",
    "Time between two evaluated frames: no latency is known more finely.",
    "ms",
    1,
  ),
  false_alarms_per_minute: {
    label: "False alarms",
    meaning: "Detections of nobody, counted as events and not as frames.",
    unit: "/min",
    decimals: 2,
    ratio: false,
    better: "<=",
  },
  latency_reasonable_median_ms: number(
    "Median latency from reasonable size",
    "Time from first reasonably large to first detected, for half of the road users.",
    "ms",
    0,
  ),
  latency_reasonable_p95_ms: number(
    "95th percentile latency from reasonable size",
    "Time from first reasonably large to first detected, for 95 of 100 road users.",
    "ms",
    0,
  ),
  longest_gap_median_ms: number(
    "Median longest gap",
    "The longest time for which a visible road user was lost, for half of them.",
    "ms",
    0,
  ),
  longest_gap_p95_ms: number(
    "95th percentile longest gap",
    "The longest time for which a visible road user was lost, for 95 of 100.",
    "ms",
    0,
  ),
  reacquisition_median_ms: number(
    "Median re-acquisition",
    "Time until a road user who was hidden is detected again, for half of them.",
    "ms",
    0,
  ),
  reacquisition_p95_ms: number(
    "95th percentile re-acquisition",
    "Time until a road user who was hidden is detected again, for 95 of 100.",
    "ms",
    0,
  ),
  latency_jitter_ms: number(
    "Latency jitter",
    "How latencies scatter about their line over the run.",
    "ms",
    2,
  ),
  latency_drift_ppm: number("Latency drift", "How latency changes over the run.", "ppm", 1),
  latency_uncertainty_ms: exact(
    "Latency uncertainty",
    "The largest standard uncertainty of a single latency.",
    "ms",
    2,
  ),
  false_alarm_signals: exact("False signals", "Signals that fit nobody.", "", 0),
  early_signals: exact("Early signals", "Signals shortly before somebody became visible: false.", "", 0),
  duplicate_signals: exact(
    "Duplicate signals",
    "Further signals of a road user: neither right nor wrong.",
    "",
    0,
  ),
  tracks_not_evaluated: exact("Tracks not evaluated", "Road users whom no evaluated frame shows.", "", 0),
  ambiguous_detections: exact("Ambiguous detections", "Detections that time alone cannot tell apart.", "", 0),
  offset_ms: number("Clock offset", "What the signals' clock shows at media time 0.", "ms", 2),
  offset_drift_ppm: number("Clock drift", "How far the two clocks run apart.", "ppm", 2),
  offset_jitter_ms: number("Marker jitter", "How a single marker scatters.", "ms", 2),
};

/** The metrics that the criteria editor offers. */
export const METRIC_NAMES = [
  "precision",
  "recall",
  "f1",
  "ap50",
  "latency_median_ms",
  "latency_p95_ms",
  "false_alarms_per_minute",
];

export function metricInfo(metric: string, unit = ""): MetricInfo {
  return (
    METRICS[metric] ?? { label: humanise(metric), meaning: "", unit, decimals: 3, ratio: false, better: ">=" }
  );
}

/** A figure in its metric's precision, with its unit; a dash where there is none. */
export function formatMetric(metric: string, value: number | null | undefined, withUnit = true): string {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  const { decimals, unit } = metricInfo(metric);
  const figure = formatNumber(value, Number.isInteger(value) && decimals < 3 ? 0 : decimals);
  if (!withUnit || !unit) return figure;
  return unit.startsWith("/") ? `${figure}${unit}` : `${figure} ${unit}`;
}

/** "0.871 to 0.943"; a dash for what is no estimate; one-sided where the data bound only one side. */
export function formatInterval({ metric, low, high }: Pick<Measurement, "metric" | "low" | "high">): string {
  if (metricInfo(metric).exact) return UNKNOWN;
  const known = (value: number | null): value is number => value !== null && Number.isFinite(value);
  if (known(low) && known(high))
    return `${formatMetric(metric, low, false)} to ${formatMetric(metric, high)}`;
  if (known(low)) return `${formatMetric(metric, low)} or more`;
  if (known(high)) return `${formatMetric(metric, high)} or less`;
  return UNKNOWN;
}

// The figure by which slices are compared: the first of these that is known for each of them, else the last.
const HEADLINES = ["f1", "recall"];

/** One figure of each slice, the worst first; slices where it is not determined come last. */
export function worstSliceFirst(measurements: readonly Measurement[]): Measurement[] {
  const parts = measurements.filter((item) => item.slice !== "all");
  const of = (name: string) => parts.filter((item) => item.metric === name);
  const headline = HEADLINES.find((name) => of(name).every((item) => item.value !== null)) ?? "recall";
  const badness = (item: Measurement) => item.value ?? Number.POSITIVE_INFINITY;
  return of(headline).sort((one, other) => (badness(one) < badness(other) ? -1 : 1));
}

/** class:wheelchair_user -> Class: wheelchair user */
export function sliceName(slice: string): string {
  return humanise(slice.replace(":", ": "));
}

/** A threshold as typed, not padded to the metric's decimals. */
export function formatThreshold(criterion: Pick<Criterion, "metric" | "comparator" | "threshold">): string {
  const { unit } = metricInfo(criterion.metric);
  const sign = criterion.comparator === ">=" ? "≥" : "≤";
  const suffix = unit && !unit.startsWith("/") ? ` ${unit}` : unit;
  return `${sign} ${criterion.threshold.toLocaleString("en-GB", { maximumFractionDigits: 6 })}${suffix}`;
}

/** Whether there is anything to draw: an interval of an estimate. */
export function hasInterval({ metric, low, high }: Pick<Measurement, "metric" | "low" | "high">): boolean {
  return !metricInfo(metric).exact && (low !== null || high !== null);
}

/** The figures' range on a scale, in the metric's unit, wide enough for everything that is drawn on it. */
export function scaleOf(metric: string, figures: readonly (number | null)[]): [number, number] {
  if (metricInfo(metric).ratio) return [0, 1];
  const known = figures.filter((figure): figure is number => figure !== null && Number.isFinite(figure));
  const largest = Math.max(0, ...known);
  return [Math.min(0, ...known), largest > 0 ? largest * 1.12 : 1];
}

export function defaultCriterion(metric = "precision"): Criterion {
  const known = defaults.find((criterion) => criterion.metric === metric);
  return {
    metric,
    comparator: metricInfo(metric).better,
    threshold: known?.threshold ?? 0.9,
    confidence_level: 0.95,
    slice: "all",
    severity: "required",
  };
}

/** What a project asks for if nobody says otherwise. */
export function defaultCriteria(): Criterion[] {
  return defaults.map((criterion) => defaultCriterion(criterion.metric));
}
