import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { runsQuery, videosQuery } from "@/api/queries";
import type { Run } from "@/api/types";
import { type Column, DataTable } from "@/components/data-table";
import { Loading } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { StateBadge, VerdictBadge } from "@/components/status";
import { Button } from "@/components/ui/button";
import { Empty, Panel } from "@/components/ui/panel";
import { formatCount, formatDate, UNKNOWN } from "@/lib/format";
import { formatMetric } from "@/lib/metrics";
import { isFinal, runName } from "@/lib/runs";

type Row = Run & { videoName: string };

function measured(run: Run, metric: string): number | null {
  return (
    run.metrics?.measurements.find((item) => item.metric === metric && item.slice === "all")?.value ?? null
  );
}

const figure = (metric: string, header: string): Column<Row> => ({
  id: metric,
  // Sorted last in either direction: a figure that does not exist is neither small nor large.
  accessorFn: (run) => measured(run, metric) ?? undefined,
  sortUndefined: "last",
  header,
  cell: ({ row }) => formatMetric(metric, measured(row.original, metric)),
});

const columns: Column<Row>[] = [
  {
    id: "outcome",
    accessorFn: (run) => run.verdict ?? run.state,
    header: "Verdict",
    cell: ({ row: { original: run } }) =>
      run.verdict ? <VerdictBadge verdict={run.verdict} /> : <StateBadge state={run.state} />,
  },
  {
    id: "model",
    accessorFn: runName,
    header: "Under test",
    cell: ({ row: { original: run } }) => (
      <Link to="/runs/$runId" params={{ runId: run.id }} className="font-medium hover:underline">
        {run.model ?? runName(run)} <span className="text-ink-faint">{run.model_version}</span>
      </Link>
    ),
  },
  { id: "video", accessorFn: (run) => run.videoName, header: "Video or data set" },
  {
    id: "progress",
    accessorFn: (run) => run.frames_done,
    header: "Frames",
    cell: ({ row: { original: run } }) =>
      run.kind === "camera"
        ? UNKNOWN
        : isFinal(run.state) && run.frames_done === run.frames_total
          ? formatCount(run.frames_total)
          : `${formatCount(run.frames_done)} / ${run.frames_total ? formatCount(run.frames_total) : UNKNOWN}`,
  },
  figure("precision", "Precision"),
  figure("recall", "Recall"),
  figure("f1", "F1"),
  figure("latency_median_ms", "Median latency"),
  {
    id: "created",
    accessorFn: (run) => run.created_at,
    header: "Started",
    cell: ({ row }) => (
      <span className="whitespace-nowrap" title={`by ${row.original.created_by}`}>
        {formatDate(row.original.created_at)}
      </span>
    ),
  },
];

export function RunsTab({ projectId, onStart }: { projectId: string; onStart: () => void }) {
  const runs = useQuery(runsQuery(projectId));
  const videos = useQuery(videosQuery(projectId));
  const navigate = useNavigate();
  const names = new Map(videos.data?.map((video) => [video.id, video.name]));
  const rows: Row[] | undefined = runs.data?.map((run) => ({
    ...run,
    videoName: run.data_set_version
      ? `${run.data_set_version.name}, version ${run.data_set_version.number}`
      : (names.get(run.video_id ?? "") ?? UNKNOWN),
  }));
  return (
    <>
      <ProblemNotice error={runs.error} onRetry={() => void runs.refetch()} className="mb-4" />
      <Panel flush>
        {runs.isPending && <Loading />}
        {rows?.length === 0 && (
          <Empty title="No run yet">
            <p>Upload a video and its ground truth, then start a run.</p>
            <Button className="mt-3" onClick={onStart}>
              Start a run
            </Button>
          </Empty>
        )}
        {rows && rows.length > 0 && (
          <DataTable
            caption="Runs of this project"
            columns={columns}
            data={rows}
            rowId={(run) => run.id}
            numeric={["progress", "precision", "recall", "f1", "latency_median_ms"]}
            onRowClick={(run) => void navigate({ to: "/runs/$runId", params: { runId: run.id } })}
          />
        )}
      </Panel>
    </>
  );
}
