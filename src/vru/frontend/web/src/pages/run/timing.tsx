import { LocateFixed } from "lucide-react";
import { useMemo } from "react";
import type { CameraRunMetrics, FalseSignal, RoadUser } from "@/api/types";
import { type Column, DataTable } from "@/components/data-table";
import { Badge, type Tone } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Facts, Panel } from "@/components/ui/panel";
import { formatCount, formatMediaTime, formatNumber, humanise } from "@/lib/format";
import { signalsOfNobody, timingBudget, withUncertainty } from "@/lib/timing";

/** How the signals' clock was joined with the video's, and what makes a single latency uncertain. */
export function ClocksPanel({ metrics }: { metrics: CameraRunMetrics }) {
  const { clocks } = metrics;
  const budget = timingBudget(clocks);
  const largest = budget[0]?.ms || 1;
  return (
    <Panel title="Clocks" note="± is the standard uncertainty">
      <Facts
        facts={[
          ["Offset", withUncertainty(clocks.offset_ms, clocks.offset_uncertainty_ms, "ms", 2)],
          [
            "Drift",
            clocks.drift_ppm === null
              ? "not estimated: the offset was given"
              : withUncertainty(clocks.drift_ppm, clocks.drift_uncertainty_ppm, "ppm", 1),
          ],
          ["Markers", markers(clocks)],
          ["Joined to within", `${formatNumber(clocks.expanded_ms, 2)} ms (95 %)`],
        ]}
      />
      <table className="mt-4 w-full border-collapse">
        <caption className="mb-1 text-left font-medium text-[13px]">
          Timing budget of a single latency, standard uncertainties
        </caption>
        <tbody>
          {budget.map(({ part, ms }) => (
            <tr key={part} className="border-line border-t">
              <th scope="row" className="py-1.5 pr-3 text-left font-normal text-ink-soft">
                {part}
              </th>
              <td className="w-16 max-sm:hidden">
                <span
                  aria-hidden
                  className="block h-1.5 rounded-sm bg-accent/60"
                  style={{ width: `${Math.max(2, (ms / largest) * 100)}%` }}
                />
              </td>
              <td className="figures whitespace-nowrap pl-3 text-right">{formatNumber(ms, 2)} ms</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

function markers({ markers, outliers }: CameraRunMetrics["clocks"]): string {
  if (!markers) return "none";
  return outliers
    ? `${formatCount(markers)}, ${formatCount(outliers)} set aside as outliers`
    : formatCount(markers);
}

const TONE: Record<FalseSignal["kind"], Tone> = {
  "False alarm": "fail",
  Early: "fail",
  Duplicate: "neutral",
};

interface SignalsPanelProps {
  metrics: CameraRunMetrics;
  onShow: (seconds: number) => void;
}

/** The signals that found nobody, or nobody new: where to look for what is wrong with a device. */
export function SignalsPanel({ metrics, onShow }: SignalsPanelProps) {
  const signals = useMemo(() => signalsOfNobody(metrics), [metrics]);
  const columns = useMemo<Column<FalseSignal>[]>(
    () => [
      {
        id: "kind",
        accessorFn: (signal) => signal.kind,
        header: "Signal",
        cell: ({ row: { original: signal } }) => <Badge tone={TONE[signal.kind]}>{signal.kind}</Badge>,
      },
      {
        id: "time",
        accessorFn: (signal) => signal.media_s,
        header: "At",
        cell: ({ row }) => <span className="whitespace-nowrap">{mediaTime(row.original.media_s)}</span>,
      },
      {
        id: "class",
        accessorFn: (signal) => signalled(signal.road_user),
        header: "Says",
        cell: ({ row }) => signalled(row.original.road_user),
      },
      {
        id: "show",
        enableSorting: false,
        header: () => <span className="sr-only">Show in the video</span>,
        cell: ({ row: { original: signal } }) => (
          <Button
            look="quiet"
            size="iconSmall"
            aria-label={`Show the video at ${mediaTime(signal.media_s)}`}
            title="Show in the video"
            onClick={(event) => {
              event.stopPropagation();
              onShow(signal.media_s);
            }}
          >
            <LocateFixed />
          </Button>
        ),
      },
    ],
    [onShow],
  );
  const { false_alarms, early, duplicates, set_aside_signals, outside } = metrics;
  const hidden = false_alarms.count + early.count + duplicates.count - signals.length;
  const aside = [
    set_aside_signals > 0 &&
      `${formatCount(set_aside_signals)} where somebody was visible who does not count`,
    outside > 0 && `${formatCount(outside)} before or after the video`,
  ].filter(Boolean);
  return (
    <Panel title="False and duplicate signals" note="duplicates are neither right nor wrong" flush>
      {signals.length === 0 ? (
        <p className="p-4 text-ink-soft">None: every signal that counts found a road user.</p>
      ) : (
        <div className="max-h-96 overflow-y-auto">
          <DataTable
            caption="False alarms, early signals and duplicates: a click shows where"
            columns={columns}
            data={signals}
            rowId={(signal) => `${signal.kind} ${signals.indexOf(signal)}`}
            onRowClick={(signal) => onShow(signal.media_s)}
            compact
          />
        </div>
      )}
      {hidden > 0 && (
        <p className="border-line border-t px-4 py-2 text-[13px] text-ink-soft">
          {formatCount(hidden)} more are not listed: of each kind the first 1,000 are.
        </p>
      )}
      {aside.length > 0 && (
        <p className="border-line border-t px-4 py-2 text-[13px] text-ink-soft">
          Not counted: {aside.join("; ")}.
        </p>
      )}
    </Panel>
  );
}

/** A signal of the second before the video has a time below 0. */
function mediaTime(seconds: number): string {
  return seconds < 0 ? `-${formatMediaTime(-seconds)}` : formatMediaTime(seconds);
}

function signalled(road_user: RoadUser | null): string {
  return road_user === null ? "no class" : humanise(road_user);
}
