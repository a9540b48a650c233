import type { Criterion, Measurement, Verdict } from "@/api/types";
import { formatInterval, formatMetric, formatThreshold, scaleOf } from "@/lib/metrics";

const WIDTH = 200;
const HEIGHT = 22;
const COLOUR: Record<Verdict, string> = {
  PASS: "var(--c-pass)",
  FAIL: "var(--c-fail)",
  INCONCLUSIVE: "var(--c-unsure)",
};

interface IntervalPlotProps {
  measurement: Measurement;
  criterion?: Criterion;
  verdict?: Verdict;
}

/** Value (dot), interval (bar) and threshold (tick) on one scale; the region that meets the criterion is tinted. */
export function IntervalPlot({ measurement, criterion, verdict }: IntervalPlotProps) {
  const { metric, value, low, high } = measurement;
  const threshold = criterion?.threshold ?? null;
  const [from, to] = scaleOf(metric, [value, low, high, threshold]);
  const x = (figure: number) => 4 + ((figure - from) / (to - from)) * (WIDTH - 8);
  const colour = verdict ? COLOUR[verdict] : "var(--c-ink-soft)";
  const description = [
    `${formatMetric(metric, value)}, interval ${formatInterval(measurement)}`,
    criterion && `required ${formatThreshold(criterion)}`,
  ]
    .filter(Boolean)
    .join(", ");
  const middle = HEIGHT / 2;
  // A side without a bound reaches the end of the scale, and fades there.
  const left = low !== null && Number.isFinite(low) ? x(low) : value === null && high === null ? null : 4;
  const right =
    high !== null && Number.isFinite(high) ? x(high) : value === null && low === null ? null : WIDTH - 4;
  return (
    <svg role="img" aria-label={description} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} className="h-5.5 w-50">
      <rect x={4} y={middle - 0.5} width={WIDTH - 8} height={1} fill="var(--c-line-strong)" />
      {criterion && threshold !== null && (
        <rect
          x={criterion.comparator === ">=" ? x(threshold) : 4}
          width={Math.max(0, criterion.comparator === ">=" ? WIDTH - 4 - x(threshold) : x(threshold) - 4)}
          y={3}
          height={HEIGHT - 6}
          fill="var(--c-pass)"
          opacity={0.16}
        />
      )}
      {left !== null && right !== null && (low !== null || high !== null) && (
        <rect
          x={left}
          y={middle - 2.5}
          width={Math.max(1.5, right - left)}
          height={5}
          rx={1}
          fill={colour}
          opacity={0.42}
        />
      )}
      {threshold !== null && (
        <rect x={x(threshold) - 1} y={2} width={2} height={HEIGHT - 4} fill="var(--c-ink)" />
      )}
      {value !== null && Number.isFinite(value) && <circle cx={x(value)} cy={middle} r={4} fill={colour} />}
    </svg>
  );
}
