import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type ReactNode, useCallback, useRef } from "react";
import { evidenceUrl, reportUrl } from "@/api/calls";
import { projectQuery, recordingQuery, truthQuery, videoQuery } from "@/api/queries";
import type { GroundTruth, Recording, Run, Track, Video } from "@/api/types";
import { Loading, Page } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { StateBadge } from "@/components/status";
import { Facts, Panel } from "@/components/ui/panel";
import { formatDate, formatDuration, UNKNOWN } from "@/lib/format";
import { worstSliceFirst } from "@/lib/metrics";
import { runName } from "@/lib/runs";
import { Viewer, type ViewerHandle } from "@/viewer/viewer";
import { RunControls } from "./controls";
import { RunProgress } from "./progress";
import { OverDataSet, RecordingsPanel } from "./recordings";
import { MeasurementsTable, TracksTable } from "./tables";
import { ClocksPanel, SignalsPanel } from "./timing";
import { useRun } from "./use-run";
import { VerdictPanel } from "./verdict";

export function RunPage() {
  const { runId } = useParams({ from: "/app/runs/$runId" });
  const { data: run, error, live, broken, refetch } = useRun(runId);
  const project = useQuery({ ...projectQuery(run?.project_id ?? ""), enabled: run !== undefined });
  const video = useQuery({ ...videoQuery(run?.video_id ?? ""), enabled: Boolean(run?.video_id) });
  const truth = useQuery({
    ...truthQuery(run?.ground_truth_id ?? ""),
    enabled: Boolean(run?.ground_truth_id),
  });
  const recording = useQuery({
    ...recordingQuery(run?.signals_id ?? ""),
    enabled: Boolean(run?.signals_id),
  });
  const viewer = useRef<ViewerHandle>(null);
  const show = useCallback(
    (track: Track, seconds: number) => viewer.current?.seekTime(seconds, track.track_id),
    [],
  );
  const showTime = useCallback((seconds: number) => viewer.current?.seekTime(seconds), []);

  if (!run) {
    return (
      <Page title="Run" crumbs={[{ label: "Projects", link: { to: "/projects" } }]}>
        {error ? <ProblemNotice error={error} onRetry={() => void refetch()} /> : <Loading />}
      </Page>
    );
  }
  const slices = worstSliceFirst(run.metrics?.measurements ?? []);
  return (
    <Page
      title={runName(run)}
      crumbs={[
        { label: "Projects", link: { to: "/projects" } },
        {
          label: project.data?.name ?? "Project",
          link: { to: "/projects/$projectId", params: { projectId: run.project_id } },
        },
      ]}
      badges={<StateBadge state={run.state} />}
      intro={
        run.data_set_version ? (
          <OverDataSet run={run} version={run.data_set_version} />
        ) : (
          <p>
            {recording.data && `${recording.data.name} `}on {video.data?.name ?? "the video"} against{" "}
            {truth.data?.name ?? "its ground truth"}
          </p>
        )
      }
    >
      <div className="flex flex-col gap-4">
        {live && <RunProgress run={run} broken={broken} />}
        {run.state === "failed" && <ProblemNotice error={new Error(run.error ?? "The run failed.")} />}
        {run.state === "cancelled" && (
          <Panel>
            The run was cancelled{run.kind === "model" && ` after ${run.frames_done} frames`}. It has no
            verdict.
          </Panel>
        )}
        {(run.state === "failed" || run.state === "cancelled") && <RunControls run={run} />}
        <VerdictPanel run={run} />
        <SetAside clips={run.set_aside} />
        <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_440px]">
          <div className="flex min-w-0 flex-col gap-4">
            {run.data_set_version ? (
              <RecordingsPanel run={run} />
            ) : (
              <Panel flush className="overflow-hidden">
                <ProblemNotice error={video.error ?? truth.error} className="m-4" />
                {video.data && truth.data ? (
                  <Viewer
                    ref={viewer}
                    video={video.data}
                    truthId={truth.data.id}
                    truthApproved={truth.data.approved_by !== null}
                    {...(run.kind === "model" && !live && { run })}
                  />
                ) : (
                  !video.error && !truth.error && <Loading />
                )}
              </Panel>
            )}
            {run.kind === "camera" && run.metrics && (
              <div className="grid items-start gap-4 lg:grid-cols-2">
                <SignalsPanel metrics={run.metrics} onShow={showTime} />
                <ClocksPanel metrics={run.metrics} />
              </div>
            )}
          </div>
          <div className="flex min-w-0 flex-col gap-4">
            {run.metrics && !run.data_set_version && (
              <Panel
                title="Tracks"
                note={
                  run.kind === "camera"
                    ? "first visible to first signal, ± standard uncertainty"
                    : "first visible to first detected"
                }
                flush
              >
                <TracksTable tracks={run.metrics.tracks} onShow={show} />
              </Panel>
            )}
            <Provenance run={run} video={video.data} truth={truth.data} recording={recording.data} />
            {!live && <Downloads run={run} />}
          </div>
        </div>
        {slices.length > 0 && (
          <Panel title="Slices" note="the worst first: where to look" flush>
            <MeasurementsTable measurements={slices} caption="One figure of each slice, the worst first" />
          </Panel>
        )}
        {run.metrics && (
          <Panel title="Measurements" note="intervals resample clips or tracks, never frames" flush>
            <MeasurementsTable measurements={run.metrics.measurements} />
          </Panel>
        )}
      </div>
    </Page>
  );
}

const REPORTS = [
  ["html", "Report"],
  ["pdf", "PDF"],
  ["json", "JSON"],
  ["csv", "CSV of the figures"],
  ["tracks.csv", "CSV of the tracks"],
  ["xml", "JUnit XML"],
] as const;

/** The report as files, and the sealed evidence. */
function Downloads({ run }: { run: Run }) {
  const link = "text-accent underline-offset-2 hover:underline";
  return (
    <Panel title="Report and evidence">
      <ul className="flex flex-wrap gap-x-4 gap-y-1.5">
        {REPORTS.map(([form, label]) => (
          <li key={form}>
            <a className={link} href={reportUrl(run.id, form)} target="_blank" rel="noreferrer">
              {label}
            </a>
          </li>
        ))}
        {run.state === "completed" && (
          <li>
            <a className={link} href={evidenceUrl(run.id)} download>
              Sealed evidence
            </a>
          </li>
        )}
      </ul>
    </Panel>
  );
}

/** The parts of the video that nobody could look at. */
function SetAside({ clips }: { clips: Run["set_aside"] }) {
  if (!clips.length) return null;
  return (
    <Panel title="Clips that could not be processed" note="their frames count nowhere">
      <ul className="flex flex-col gap-1.5">
        {clips.map((clip) => (
          <li key={clip.number}>
            <span className="figures font-medium">
              {clip.recording !== null && `Recording ${clip.recording}: `}Clip {clip.number}, frames{" "}
              {clip.first_frame} to {clip.last_frame}
              {clip.first_s !== null && clip.last_s !== null && (
                <>
                  , {clip.first_s.toFixed(2)} to {clip.last_s.toFixed(2)} s
                </>
              )}
            </span>
            <span className="ml-2 text-ink-soft">{clip.reason}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function settingFacts(run: Run): [string, ReactNode][] {
  if (run.kind === "camera") {
    const { settings } = run;
    return [
      ["Tolerance", `${settings.tolerance_ms} ms`],
      ["Early within", `${settings.early_ms} ms`],
      ["Begins", settings.start === "visible" ? "when visible" : `from ${settings.reasonable_height} pixels`],
    ];
  }
  const { settings } = run;
  return [
    ["Score threshold", settings.score_threshold],
    ["Overlap (IoU)", settings.iou_threshold],
    ["Frames", settings.frame_stride === 1 ? "all" : `1 in ${settings.frame_stride}`],
  ];
}

/** Everything that decided the outcome. */
function Provenance({
  run,
  video,
  truth,
  recording,
}: {
  run: Run;
  video?: Video | undefined;
  truth?: GroundTruth | undefined;
  recording?: Recording | undefined;
}) {
  const seconds =
    run.started_at && run.finished_at
      ? (Date.parse(run.finished_at) - Date.parse(run.started_at)) / 1000
      : null;
  const digest = (sha256: string | undefined) =>
    sha256 ? (
      <code className="font-mono text-[12px]" title={sha256}>
        {sha256.slice(0, 16)}…
      </code>
    ) : (
      UNKNOWN
    );
  return (
    <Panel title="How it was made">
      <Facts
        facts={[
          ...settingFacts(run),
          ["Seed", run.settings.seed],
          ...(run.kind === "camera"
            ? ([
                ["Signals digest", digest(recording?.sha256)],
                ["Markers digest", digest(recording?.markers_sha256 ?? undefined)],
              ] as [string, ReactNode][])
            : ([["Model digest", digest(run.model_sha256 ?? undefined)]] as [string, ReactNode][])),
          ...(run.data_set_version
            ? []
            : ([
                ["Video digest", digest(video?.sha256)],
                ["Truth digest", digest(truth?.sha256)],
                ["Truth made by", truth?.source ?? UNKNOWN],
                ["Truth approved by", truth ? (truth.approved_by ?? "nobody") : UNKNOWN],
              ] as [string, ReactNode][])),
          ["Started by", run.created_by],
          ["Started", formatDate(run.created_at)],
          ["Took", seconds === null ? UNKNOWN : formatDuration(seconds)],
        ]}
      />
    </Panel>
  );
}
