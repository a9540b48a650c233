import { Link } from "@tanstack/react-router";
import type { RecordingResult, Run } from "@/api/types";
import { type Column, DataTable } from "@/components/data-table";
import { Badge } from "@/components/ui/badge";
import { Empty, Panel } from "@/components/ui/panel";
import { formatCount, plural } from "@/lib/format";
import { formatMetric } from "@/lib/metrics";

/** What a run over a data set is about. */
export function OverDataSet({ run, version }: { run: Run; version: NonNullable<Run["data_set_version"]> }) {
  return (
    <p>
      over{" "}
      <Link
        to="/data-sets/$dataSetId"
        params={{ dataSetId: version.data_set_id }}
        search={{ version: version.number }}
        className="text-accent underline-offset-2 hover:underline"
      >
        {version.name}, version {version.number}
      </Link>{" "}
      ({plural(version.recording_count, "recording")})
      {run.predictions_id && "; the boxes were made elsewhere and imported"}
    </p>
  );
}

const figure = (id: "f1" | "recall" | "precision", header: string): Column<RecordingResult> => ({
  id,
  accessorFn: (row) => row[id] ?? undefined,
  sortUndefined: "last",
  header,
  cell: ({ row }) => formatMetric(id, row.original[id]),
});

const count = (id: keyof RecordingResult, header: string): Column<RecordingResult> => ({
  id,
  accessorFn: (row) => row[id] as number,
  header,
  cell: ({ row }) => formatCount(row.original[id] as number),
});

const columns: Column<RecordingResult>[] = [
  {
    id: "name",
    accessorFn: (row) => row.name,
    header: "Recording",
    cell: ({ row: { original: row } }) => (
      <span>
        <span className="font-medium">{row.name}</span>
        {row.failed && (
          <>
            {" "}
            <Badge tone="fail">failed</Badge> <span className="text-ink-soft">{row.failed}</span>
          </>
        )}
      </span>
    ),
  },
  figure("f1", "F1"),
  figure("recall", "Recall"),
  figure("precision", "Precision"),
  {
    id: "missed",
    accessorFn: (row) => row.tracks_missed,
    header: "Missed",
    cell: ({ row: { original: row } }) => `${row.tracks_missed} of ${row.tracks}`,
  },
  count("false_alarms", "False alarms"),
  count("frames", "Frames"),
];

/** Each recording of a run over a data set, the worst first. */
export function RecordingsPanel({ run }: { run: Run }) {
  const rows = run.metrics && "recordings" in run.metrics ? run.metrics.recordings : null;
  return (
    <Panel title="Recordings" note="those that failed first, then by F1, the worst first" flush>
      {rows ? (
        <DataTable
          caption="Recordings of the data set, the worst first"
          columns={columns}
          data={rows}
          rowId={(row) => String(row.number)}
          numeric={["f1", "recall", "precision", "missed", "false_alarms", "frames"]}
        />
      ) : (
        <Empty title="No figures yet">Each recording is listed here once the run is completed.</Empty>
      )}
    </Panel>
  );
}
