import type { Criterion, Measurement } from "@/api/types";
import { formatNumber, humanise, UNKNOWN } from "./format";
import { DEFAULT_CRITERIA, METRICS, type Metric } from "./metrics.gen";

const KNOWN: Record<string, Metric> = METRICS;

/** The metrics that the criteria editor offers. */
export const METRIC_NAMES: string[] = [
  "precision",
  "recall",
  "f1",
  "ap50",
  "latency_median_ms",
  "latency_p95_ms",
  "false_alarms_per_minute",
] satisfies (keyof typeof METRICS)[];

/** What is known of a metric; of one from another version of the platform, only its name. */
export function metricInfo(metric: string): Metric {
  return (
    KNOWN[metric] ?? {
      label: humanise(metric),
      meaning: "",
      unit: "",
      decimals: 3,
      better: ">=",
      least: null,
      most: null,
      exact: false,
    }
  );
}

/** A unit as it follows a figure. What is counted stands in the metric's label. */
export function unitAfter(metric: string): string {
  const { unit } = metricInfo(metric);
  if (unit === "1/min") return "/min";
  return unit && !["signals", "tracks"].includes(unit) ? ` ${unit}` : "";
}

/** A figure in its metric's precision, with its unit; a dash where there is none. */
export function formatMetric(metric: string, value: number | null | undefined, withUnit = true): string {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  const { decimals } = metricInfo(metric);
  const figure = formatNumber(value, Number.isInteger(value) && decimals < 3 ? 0 : decimals);
  return withUnit ? figure + unitAfter(metric) : figure;
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
  const sign = criterion.comparator === ">=" ? "≥" : "≤";
  const figure = criterion.threshold.toLocaleString("en-GB", { maximumFractionDigits: 6 });
  return `${sign} ${figure}${unitAfter(criterion.metric)}`;
}

/** Whether there is anything to draw: an interval of an estimate. */
export function hasInterval({ metric, low, high }: Pick<Measurement, "metric" | "low" | "high">): boolean {
  return !metricInfo(metric).exact && (low !== null || high !== null);
}

/** The figures' range on a scale, in the metric's unit, wide enough for everything that is drawn on it. */
export function scaleOf(metric: string, figures: readonly (number | null)[]): [number, number] {
  const { least, most } = metricInfo(metric);
  if (least !== null && most !== null) return [least, most];
  const known = figures.filter((figure): figure is number => figure !== null && Number.isFinite(figure));
  const largest = Math.max(0, ...known);
  return [Math.min(0, ...known), largest > 0 ? largest * 1.12 : 1];
}

export function defaultCriterion(metric = "precision"): Criterion {
  const known = DEFAULT_CRITERIA.find((criterion) => criterion.metric === metric);
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
  return DEFAULT_CRITERIA.map((criterion) => defaultCriterion(criterion.metric));
}
