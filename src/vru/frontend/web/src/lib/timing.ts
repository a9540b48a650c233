import type { CameraRunMetrics, FalseSignal, Recording } from "@/api/types";
import { formatNumber, plural, UNKNOWN } from "./format";

type Clocks = CameraRunMetrics["clocks"];

/** "74 ± 29 ms": a figure with its standard uncertainty. */
export function withUncertainty(
  value: number | null,
  uncertainty: number | null,
  unit: string,
  decimals: number,
): string {
  if (value === null) return UNKNOWN;
  const figure = formatNumber(value, decimals);
  return uncertainty === null
    ? `${figure} ${unit}`
    : `${figure} ± ${formatNumber(uncertainty, decimals)} ${unit}`;
}

/** What makes a single latency uncertain, the largest part first: its name and milliseconds. Unknown parts are left out. */
export function timingBudget(clocks: Clocks): { part: string; ms: number }[] {
  const parts: [string, number | null][] = [
    ["Frame: when somebody became visible", clocks.frame_ms],
    ["Polling: when a signal was received", clocks.poll_ms],
    ["Jitter of a single event", clocks.jitter_ms],
    ["Join of the clocks, at media time 0", clocks.offset_uncertainty_ms],
  ];
  return parts
    .flatMap(([part, ms]) => (ms === null ? [] : [{ part, ms }]))
    .sort((one, other) => other.ms - one.ms);
}

/** The signals that found nobody new, in order of time: of each kind the first that the run names. */
export function signalsOfNobody(
  metrics: Pick<CameraRunMetrics, "false_alarms" | "early" | "duplicates">,
): FalseSignal[] {
  const of = (kind: FalseSignal["kind"], list: CameraRunMetrics["early"]) =>
    list.first.map((signal) => ({ ...signal, kind }));
  return [
    ...of("False alarm", metrics.false_alarms),
    ...of("Early", metrics.early),
    ...of("Duplicate", metrics.duplicates),
  ].sort((one, other) => one.media_s - other.media_s);
}

/** How a recording's clock is joined with the video's, in words; null if it is not, and no run can be made with it. */
export function clockJoin(recording: Pick<Recording, "marker_count" | "offset_ns">): string | null {
  if (recording.marker_count !== null) return `Joined by ${plural(recording.marker_count, "marker")}`;
  return recording.offset_ns === null ? null : "Joined by an offset";
}
