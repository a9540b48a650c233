import { LocateFixed } from "lucide-react";
import { useMemo } from "react";
import type { Measurement, Track } from "@/api/types";
import { type Column, DataTable } from "@/components/data-table";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { formatCount, formatMediaTime, humanise, UNKNOWN } from "@/lib/format";
import { formatInterval, formatMetric, hasInterval, metricInfo, sliceName } from "@/lib/metrics";
import { withUncertainty } from "@/lib/timing";
import { IntervalPlot } from "./interval-plot";

const measurementColumns: Column<Measurement>[] = [
  {
    id: "metric",
    accessorFn: (item) => metricInfo(item.metric).label,
    header: "Metric",
    cell: ({ row: { original: item } }) => (
      <span className="whitespace-nowrap font-medium" title={metricInfo(item.metric).meaning || undefined}>
        {metricInfo(item.metric).label}
      </span>
    ),
  },
  {
    id: "slice",
    accessorFn: (item) => item.slice,
    header: "Slice",
    cell: ({ row }) => sliceName(row.original.slice),
  },
  {
    id: "value",
    accessorFn: (item) => item.value ?? undefined,
    sortUndefined: "last",
    header: "Value",
    cell: ({ row: { original: item } }) => (
      <span className="whitespace-nowrap font-semibold">{formatMetric(item.metric, item.value)}</span>
    ),
  },
  {
    id: "interval",
    enableSorting: false,
    header: "Interval",
    cell: ({ row: { original: item } }) => (
      <span className="whitespace-nowrap">
        {formatInterval(item)}
        <span className="ml-1.5 text-[12.5px] text-ink-faint">
          {hasInterval(item) && `${Math.round(item.confidence_level * 1000) / 10} %`}
        </span>
      </span>
    ),
  },
  {
    id: "plot",
    enableSorting: false,
    header: () => <span className="sr-only">On a scale</span>,
    cell: ({ row: { original: item } }) => hasInterval(item) && <IntervalPlot measurement={item} />,
  },
  {
    id: "n",
    accessorFn: (item) => item.n,
    header: "n",
    cell: ({ row }) => formatCount(row.original.n),
  },
];

interface MeasurementsTableProps {
  measurements: Measurement[];
  caption?: string;
}

export function MeasurementsTable({
  measurements,
  caption = "Measurements with their confidence intervals",
}: MeasurementsTableProps) {
  return (
    <DataTable
      caption={caption}
      columns={measurementColumns}
      data={measurements}
      rowId={(item) => `${item.metric} ${item.slice}`}
      numeric={["value", "n"]}
      compact
    />
  );
}

/** Media time without the zeros that say nothing: 0:06.0, but 0:06.033. */
function shortTime(seconds: number): string {
  return formatMediaTime(seconds).replace(/0{1,2}$/, "");
}

interface TracksTableProps {
  tracks: Track[];
  onShow: (track: Track, seconds: number) => void;
}

/** What became of each road user. */
export function TracksTable({ tracks, onShow }: TracksTableProps) {
  const columns = useMemo<Column<Track>[]>(
    () => [
      {
        id: "track",
        accessorFn: (track) => track.track_id,
        header: "Track",
        cell: ({ row: { original: track } }) => (
          <span className="whitespace-nowrap">
            <span className="font-medium">#{track.track_id}</span>{" "}
            <span className="text-ink-soft max-sm:hidden">{humanise(track.road_user)}</span>
          </span>
        ),
      },
      {
        id: "visible",
        accessorFn: (track) => track.first_visible_s,
        header: "Visible",
        cell: ({ row: { original: track } }) => (
          <span className="whitespace-nowrap">
            {shortTime(track.first_visible_s)} to {shortTime(track.last_visible_s)}
          </span>
        ),
      },
      {
        id: "latency",
        // A miss is later than any detection, not earlier.
        accessorFn: (track) => track.latency_ms ?? Number.POSITIVE_INFINITY,
        header: "Latency",
        cell: ({ row: { original: track } }) =>
          track.latency_ms === null ? (
            <Badge tone="fail">missed</Badge>
          ) : (
            <span className="whitespace-nowrap font-semibold">
              {withUncertainty(track.latency_ms, track.latency_uncertainty_ms ?? null, "ms", 0)}
            </span>
          ),
      },
      {
        id: "show",
        enableSorting: false,
        header: () => <span className="sr-only">Show in the video</span>,
        cell: ({ row: { original: track } }) => (
          <Button
            look="quiet"
            size="iconSmall"
            aria-label={`Show track ${track.track_id} where it ${track.first_detected_s === null ? "appears" : "is first detected"}`}
            title={track.first_detected_s === null ? "Show where it appears" : "Show the first detection"}
            onClick={(event) => {
              event.stopPropagation();
              onShow(track, track.first_detected_s ?? track.first_visible_s);
            }}
          >
            <LocateFixed />
          </Button>
        ),
      },
    ],
    [onShow],
  );
  if (tracks.length === 0) return <p className="p-4 text-ink-soft">No track was evaluated. {UNKNOWN}</p>;
  return (
    <DataTable
      caption="Tracks: a click shows where one begins"
      columns={columns}
      data={tracks}
      rowId={(track) => String(track.track_id)}
      numeric={["latency"]}
      onRowClick={(track) => onShow(track, track.first_visible_s)}
    />
  );
}
