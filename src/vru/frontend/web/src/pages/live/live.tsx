import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Play, Plus, Square, Trash2 } from "lucide-react";
import { useState } from "react";
import { deleteSignalSource, startSignalSource, stopSignalSource } from "@/api/calls";
import { liveRunsQuery, signalSourcesQuery } from "@/api/queries";
import type { LiveRun, SignalSource } from "@/api/types";
import { Loading, Page } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { Badge, type Tone } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Progress } from "@/components/ui/controls";
import { Empty, Facts, Panel } from "@/components/ui/panel";
import { formatCount, formatDate, humanise } from "@/lib/format";
import { NewLiveRun } from "./new-live-run";
import { NewSource } from "./new-source";

const SOURCE_TONE: Record<SignalSource["state"], Tone> = {
  stopped: "neutral",
  opening: "accent",
  running: "pass",
  failed: "fail",
};
const RUN_TONE: Record<LiveRun["state"], Tone> = {
  recording: "accent",
  recorded: "accent",
  started: "pass",
  failed: "fail",
  cancelled: "neutral",
};

export function LivePage() {
  const sources = useQuery(signalSourcesQuery());
  const runs = useQuery(liveRunsQuery());
  const [asking, setAsking] = useState<"source" | "run" | null>(null);
  const close = () => setAsking(null);
  return (
    <Page
      title="Live"
      intro={
        <p>Devices that the platform listens to, and camera runs that are made while their signals come.</p>
      }
      actions={
        <>
          <Button onClick={() => setAsking("source")}>
            <Plus aria-hidden />
            New signal source
          </Button>
          <Button look="primary" onClick={() => setAsking("run")} disabled={!sources.data?.length}>
            <Play aria-hidden />
            Start live run
          </Button>
        </>
      }
    >
      <ProblemNotice error={sources.error ?? runs.error} className="mb-4" />
      {sources.isPending && <Loading />}
      {sources.data?.length === 0 && (
        <Panel>
          <Empty title="No signal source yet">
            A UDP source on a free port is a good first one: the virtual rig can play for it.
          </Empty>
        </Panel>
      )}
      <div className="grid gap-4 md:grid-cols-2 xl:grid-cols-3">
        {sources.data?.map((source) => (
          <SourceCard key={source.id} source={source} />
        ))}
      </div>
      <div className="mt-6 flex flex-col gap-4">
        {runs.data?.map((run) => (
          <LiveRunCard key={run.id} run={run} />
        ))}
      </div>
      {asking === "source" && <NewSource onClose={close} />}
      {asking === "run" && <NewLiveRun sources={sources.data ?? []} onClose={close} />}
    </Page>
  );
}

function SourceCard({ source }: { source: SignalSource }) {
  const queries = useQueryClient();
  const onSuccess = () => queries.invalidateQueries({ queryKey: signalSourcesQuery().queryKey });
  const start = useMutation({ mutationFn: () => startSignalSource(source.id), onSuccess });
  const stop = useMutation({ mutationFn: () => stopSignalSource(source.id), onSuccess });
  const remove = useMutation({ mutationFn: () => deleteSignalSource(source.id), onSuccess });
  const { counts } = source;
  const malformed = Object.entries(counts.malformed ?? {}).map(([kind, count]) => `${kind}: ${count}`);
  return (
    <Panel
      title={source.name}
      actions={<Badge tone={SOURCE_TONE[source.state]}>{humanise(source.state)}</Badge>}
    >
      <ProblemNotice error={start.error ?? stop.error ?? remove.error} className="mb-3" />
      {source.reason && <ProblemNotice error={new Error(source.reason)} className="mb-3" />}
      <Facts
        facts={[
          ["Driver", source.driver],
          ["Events", formatCount(counts.events ?? 0)],
          ["Debounced", formatCount(counts.debounced ?? 0)],
          ["Over the rate", formatCount(counts.limited ?? 0)],
          ["Malformed", malformed.length ? malformed.join(", ") : "0"],
        ]}
      />
      <div className="mt-4 flex gap-2">
        {source.state === "stopped" ? (
          <Button size="small" look="primary" onClick={() => start.mutate()} disabled={start.isPending}>
            <Play aria-hidden />
            Start
          </Button>
        ) : (
          <Button size="small" onClick={() => stop.mutate()} disabled={stop.isPending}>
            <Square aria-hidden />
            Stop
          </Button>
        )}
        <Button
          look="quiet"
          size="iconSmall"
          className="ml-auto"
          aria-label={`Delete signal source ${source.name}`}
          title="Delete signal source; what it said stays"
          onClick={() => remove.mutate()}
        >
          <Trash2 />
        </Button>
      </div>
    </Panel>
  );
}

function LiveRunCard({ run }: { run: LiveRun }) {
  const { played } = run;
  return (
    <Panel
      title={`Live run of ${formatDate(run.created_at)}`}
      actions={
        <>
          {run.verdict && <Badge>{run.verdict}</Badge>}
          <Badge tone={RUN_TONE[run.state]}>{humanise(run.run_state ?? run.state)}</Badge>
        </>
      }
    >
      {run.error && <ProblemNotice error={new Error(run.error)} className="mb-3" />}
      {run.state === "recording" && run.end_s ? (
        <Progress label="Played" value={run.media_s ?? 0} max={run.end_s} />
      ) : null}
      {played && (
        <p>
          The rig has sent: {played.detections} of {played.road_users} road users, {played.false_positives}{" "}
          false signals, {played.duplicates} repeated.
        </p>
      )}
      {run.run_id && (
        <a className="underline" href={`/runs/${run.run_id}`}>
          Its camera run
        </a>
      )}
    </Panel>
  );
}
