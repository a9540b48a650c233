import { useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Play } from "lucide-react";
import { useState } from "react";
import { uploadAttributes } from "@/api/calls";
import {
  dataSetQuery,
  dataSetRecordingsQuery,
  projectQuery,
  rankedRunsQuery,
  versionsQuery,
} from "@/api/queries";
import type { DataSet, DataSetRecording, DataSetVersion, RankedRun } from "@/api/types";
import { type Column, DataTable } from "@/components/data-table";
import { FileUpload } from "@/components/file-upload";
import { Loading, Page } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { VerdictBadge } from "@/components/status";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Select } from "@/components/ui/field";
import { Empty, Facts, Panel } from "@/components/ui/panel";
import { formatCount, formatDate, formatDuration, plural } from "@/lib/format";
import { formatMetric } from "@/lib/metrics";
import { ImportPredictions } from "./import-predictions";
import { StartDataSetRun } from "./start-run";

/** One data set: its versions, their recordings, and the runs over them. */
export function DataSetPage() {
  const { dataSetId } = useParams({ from: "/app/data-sets/$dataSetId" });
  const { version: asked } = useSearch({ from: "/app/data-sets/$dataSetId" });
  const { data: dataSet } = useSuspenseQuery(dataSetQuery(dataSetId));
  const versions = useQuery(versionsQuery(dataSetId));
  const project = useQuery(projectQuery(dataSet.project_id));
  const navigate = useNavigate();
  const [starting, setStarting] = useState(false);
  const version = versions.data?.find((item) => item.number === asked) ?? dataSet.newest;
  return (
    <Page
      title={dataSet.name}
      crumbs={[
        { label: "Projects", link: { to: "/projects" } },
        {
          label: project.data?.name ?? "Project",
          link: {
            to: "/projects/$projectId",
            params: { projectId: dataSet.project_id },
            search: { tab: "data-sets" },
          },
        },
      ]}
      intro={dataSet.description && <p>{dataSet.description}</p>}
      actions={
        <>
          <Select
            aria-label="Version"
            className="w-auto"
            value={version.number}
            onChange={(event) =>
              void navigate({ to: ".", search: { version: Number(event.target.value) }, replace: true })
            }
          >
            {(versions.data ?? [dataSet.newest]).map((item) => (
              <option key={item.number} value={item.number}>
                Version {item.number}
              </option>
            ))}
          </Select>
          <Button look="primary" onClick={() => setStarting(true)}>
            <Play aria-hidden />
            Start a run
          </Button>
        </>
      }
    >
      <ProblemNotice error={versions.error} className="mb-4" />
      <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_400px]">
        <div className="flex min-w-0 flex-col gap-4">
          <Runs dataSetId={dataSetId} version={version} />
          <Recordings dataSetId={dataSetId} version={version} />
        </div>
        <div className="flex min-w-0 flex-col gap-4">
          <VersionPanel version={version} />
          <Attributes dataSet={dataSet} version={version} />
          <ImportPredictions dataSet={dataSet} version={version} />
        </div>
      </div>
      {starting && <StartDataSetRun dataSet={dataSet} version={version} onClose={() => setStarting(false)} />}
    </Page>
  );
}

function VersionPanel({ version }: { version: DataSetVersion }) {
  return (
    <Panel title={`Version ${version.number}`} note={version.note}>
      <Facts
        facts={[
          ["Recordings", formatCount(version.recording_count)],
          ["Frames", formatCount(version.frame_count)],
          ["Lasts", formatDuration(version.duration_s)],
          ["Frozen", version.frozen_at ? formatDate(version.frozen_at) : "not yet: no run was made with it"],
          [
            "Digest",
            <code key="sha256" className="font-mono text-[12px]" title={version.sha256}>
              {version.sha256.slice(0, 16)}…
            </code>,
          ],
          ["Made by", version.created_by],
          ["Made", formatDate(version.created_at)],
        ]}
      />
    </Panel>
  );
}

function Attributes({ dataSet, version }: { dataSet: DataSet; version: DataSetVersion }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  return (
    <Panel
      title="Attributes"
      note={version.frozen_at ? "a file makes a new version" : "a file changes this version"}
    >
      <FileUpload
        compact
        place={`attributes of ${dataSet.id}`}
        limit="ground_truth_bytes"
        label="Upload attributes"
        hint="CSV with a column recording and one for each attribute, or JSON"
        accept=".csv,.json,text/csv,application/json"
        send={async (file, options) => {
          const here = window.location.pathname;
          const made = await uploadAttributes(dataSet.id, version, file, options);
          await queries.invalidateQueries({ queryKey: ["data-sets", dataSet.id] });
          // Whoever looks at another page by now stays there.
          if (window.location.pathname === here)
            await navigate({ to: ".", search: { version: made.version.number }, replace: true });
        }}
      />
    </Panel>
  );
}

const recordingColumns: Column<DataSetRecording>[] = [
  { id: "number", accessorFn: (row) => row.number, header: "#" },
  {
    id: "name",
    accessorFn: (row) => row.name,
    header: "Recording",
    cell: ({ row }) => <span className="font-medium">{row.original.name}</span>,
  },
  {
    id: "conditions",
    enableSorting: false,
    header: "Attributes and tags",
    cell: ({ row: { original: row } }) => (
      <span className="flex flex-wrap gap-1">
        {Object.entries(row.attributes).map(([name, value]) => (
          <Badge key={name}>
            {name}: {value}
          </Badge>
        ))}
        {row.tags.map((tag) => (
          <Badge key={tag}>{tag}</Badge>
        ))}
      </span>
    ),
  },
  {
    id: "frames",
    accessorFn: (row) => row.frame_count,
    header: "Frames",
    cell: ({ row }) => formatCount(row.original.frame_count),
  },
  {
    id: "tracks",
    accessorFn: (row) => row.track_count,
    header: "Tracks",
    cell: ({ row }) => formatCount(row.original.track_count),
  },
];

function Recordings({ dataSetId, version }: { dataSetId: string; version: DataSetVersion }) {
  const { data, error, isPending } = useQuery(dataSetRecordingsQuery(dataSetId, version.number));
  return (
    <Panel title="Recordings" note={plural(version.recording_count, "recording")} flush>
      <ProblemNotice error={error} className="m-4" />
      {isPending && <Loading />}
      {data && (
        <DataTable
          caption="Recordings of this version"
          columns={recordingColumns}
          data={data}
          rowId={(row) => String(row.number)}
          numeric={["number", "frames", "tracks"]}
          compact
        />
      )}
    </Panel>
  );
}

const figureOf = (run: RankedRun, metric: string) =>
  run.figures.find((item) => item.metric === metric)?.value ?? null;

const figure = (metric: string, header: string): Column<RankedRun> => ({
  id: metric,
  accessorFn: (run) => figureOf(run, metric) ?? undefined,
  sortUndefined: "last",
  header,
  cell: ({ row }) => formatMetric(metric, figureOf(row.original, metric)),
});

const runColumns: Column<RankedRun>[] = [
  {
    id: "verdict",
    accessorFn: (run) => run.verdict,
    header: "Verdict",
    cell: ({ row }) => <VerdictBadge verdict={row.original.verdict} />,
  },
  {
    id: "detector",
    accessorFn: (run) => run.detector,
    header: "Under test",
    cell: ({ row: { original: run } }) => (
      <span>
        <span className="font-medium">{run.detector}</span>{" "}
        <span className="text-ink-faint">{run.version}</span>
        {run.imported && <span className="ml-1.5 text-ink-faint">imported</span>}
        {run.failed_recordings > 0 && (
          <span className="ml-1.5">
            <Badge tone="fail">{run.failed_recordings} failed</Badge>
          </span>
        )}
      </span>
    ),
  },
  figure("f1", "F1"),
  figure("recall", "Recall"),
  figure("precision", "Precision"),
  figure("false_alarms_per_minute", "False alarms"),
  {
    id: "finished",
    accessorFn: (run) => run.finished_at,
    header: "Finished",
    cell: ({ row }) => <span className="whitespace-nowrap">{formatDate(row.original.finished_at)}</span>,
  },
];

function Runs({ dataSetId, version }: { dataSetId: string; version: DataSetVersion }) {
  const { data, error } = useQuery(rankedRunsQuery(dataSetId, version.number));
  const navigate = useNavigate();
  return (
    <Panel title="Runs over this version" note="completed ones, the highest F1 first" flush>
      <ProblemNotice error={error} className="m-4" />
      {data?.length === 0 && <Empty title="No completed run yet" />}
      {data && data.length > 0 && (
        <DataTable
          caption="Runs over this version, the highest F1 first"
          columns={runColumns}
          data={data}
          rowId={(run) => run.run_id}
          numeric={["f1", "recall", "precision", "false_alarms_per_minute"]}
          onRowClick={(run) => void navigate({ to: "/runs/$runId", params: { runId: run.run_id } })}
        />
      )}
    </Panel>
  );
}
