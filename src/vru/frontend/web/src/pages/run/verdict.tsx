import type { CriterionResult, Run, Verdict } from "@/api/types";
import { UnapprovedBadge, VerdictBadge } from "@/components/status";
import { Badge } from "@/components/ui/badge";
import { cn } from "@/lib/cn";
import { formatCount, plural } from "@/lib/format";
import {
  formatInterval,
  formatMetric,
  formatThreshold,
  hasInterval,
  metricInfo,
  sliceName,
} from "@/lib/metrics";
import { verdictSummary } from "@/lib/runs";
import { IntervalPlot } from "./interval-plot";

const LOOK: Record<Verdict, string> = {
  PASS: "bg-pass-wash text-pass border-pass/35",
  FAIL: "bg-fail-wash text-fail border-fail/35",
  INCONCLUSIVE: "bg-unsure-wash text-unsure border-unsure/35",
};

/** The verdict, and for each criterion what was measured and why it came out so. */
export function VerdictPanel({ run }: { run: Run }) {
  const { verdict, metrics } = run;
  if (!verdict) return null;
  return (
    <section aria-label="Verdict" className="overflow-hidden rounded-lg border border-line bg-surface">
      <div className={cn("flex flex-wrap items-center gap-x-6 gap-y-2 border-b px-4 py-3.5", LOOK[verdict])}>
        <p className="font-bold text-[28px] leading-none tracking-tight" data-testid="verdict">
          {verdict}
        </p>
        <div className="min-w-60 flex-1">
          <p className="font-medium text-ink">{verdictSummary(run)}</p>
          <p className="figures text-ink-soft">{counted(run)}</p>
        </div>
        {metrics && !metrics.ground_truth_approved && <UnapprovedBadge />}
      </div>
      {run.notes && run.notes.length > 0 && (
        <ul
          aria-label="What limits the figures"
          className="border-line border-b px-4 py-2 text-[13px] text-ink-soft"
        >
          {run.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
      <div className="relative overflow-x-auto">
        <table className="w-full border-collapse">
          <caption className="sr-only">Criteria and how they came out</caption>
          <thead className="max-lg:sr-only">
            <tr className="border-line border-b text-left text-[12.5px] text-ink-faint [&_th]:px-3 [&_th]:py-1.5 [&_th]:font-medium [&_th:first-child]:pl-4 [&_th:last-child]:pr-4">
              <th scope="col">Verdict</th>
              <th scope="col">Criterion</th>
              <th scope="col" className="text-right">
                Measured
              </th>
              <th scope="col">Interval and threshold</th>
              <th scope="col" className="text-right">
                n
              </th>
              <th scope="col">Reason</th>
            </tr>
          </thead>
          <tbody>
            {run.verdict_reasons?.map((result) => (
              <ResultRow
                key={`${result.criterion.metric} ${result.criterion.slice} ${result.criterion.threshold}`}
                result={result}
              />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** What the figures rest on, in one line. */
function counted(run: Run): string {
  if (!run.metrics) return "";
  const tracks = plural(run.metrics.tracks.length, "track");
  if (run.kind === "camera") {
    const { signals, detections, false_alarms, early, duplicates, clocks } = run.metrics;
    return (
      `${tracks}, ${plural(signals, "signal")}: ${plural(detections, "detection")}, ` +
      `${plural(false_alarms.count, "false alarm")}, ${formatCount(early.count)} early, ` +
      `${plural(duplicates.count, "duplicate")}, clocks joined to within ${clocks.expanded_ms.toFixed(2)} ms`
    );
  }
  const { true_positives, false_positives, false_negatives } = run.metrics;
  return (
    `${tracks}, ${formatCount(true_positives)} true positives, ${formatCount(false_positives)} false positives, ` +
    `${formatCount(false_negatives)} false negatives`
  );
}

function ResultRow({ result }: { result: CriterionResult }) {
  const { criterion, measurement, verdict, reason, more_needed } = result;
  const info = metricInfo(criterion.metric);
  return (
    <tr className="border-line border-b last:border-b-0 max-lg:flex max-lg:flex-wrap max-lg:items-center max-lg:gap-x-4 max-lg:gap-y-1 max-lg:px-4 max-lg:py-2.5 lg:[&_td:first-child]:pl-4 lg:[&_td:last-child]:pr-4 lg:[&_td]:px-3 lg:[&_td]:py-2 lg:[&_td]:align-middle">
      <td>
        <VerdictBadge verdict={verdict} />
      </td>
      <td>
        <span className="whitespace-nowrap font-medium" title={info.meaning || undefined}>
          {info.label}
        </span>
        <span className="figures ml-1.5 whitespace-nowrap text-ink-soft">{formatThreshold(criterion)}</span>
        <span className="flex gap-1">
          {criterion.slice !== "all" && <Badge>{sliceName(criterion.slice)}</Badge>}
          {criterion.severity === "advisory" && <Badge>Advisory</Badge>}
        </span>
      </td>
      <td className="whitespace-nowrap text-right font-semibold">
        {formatMetric(criterion.metric, measurement.value)}
      </td>
      <td className="whitespace-nowrap">
        <IntervalPlot measurement={measurement} criterion={criterion} verdict={verdict} />
        <p className="text-[12.5px] text-ink-faint leading-tight">
          {hasInterval(measurement)
            ? `${formatInterval(measurement)}, ${Math.round(measurement.confidence_level * 1000) / 10} % interval`
            : "no interval"}
        </p>
      </td>
      <td className="text-right max-lg:text-[12.5px] max-lg:text-ink-faint max-lg:before:content-['n_']">
        {formatCount(measurement.n)}
        {more_needed !== null && (
          <span className="whitespace-nowrap text-[12.5px] text-unsure max-lg:ml-2 lg:block">
            {formatCount(more_needed)} more needed
          </span>
        )}
      </td>
      <td className="text-[13px] max-lg:w-full lg:min-w-64 lg:max-w-xl text-ink-soft leading-snug">
        {worded(reason, criterion.metric, info.label)}
      </td>
    </tr>
  );
}

/** The reason with the metric's name as the page writes it. */
function worded(reason: string, metric: string, label: string): string {
  return reason.startsWith(`${metric} `) ? label + reason.slice(metric.length) : reason;
}
