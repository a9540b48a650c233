import { useMutation, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { createRun } from "@/api/calls";
import { modelsQuery, recordingsQuery, runsQuery, truthsQuery, videosQuery } from "@/api/queries";
import type { Criterion, Project } from "@/api/types";
import { ProblemNotice } from "@/components/problem-notice";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Select } from "@/components/ui/field";
import { plural } from "@/lib/format";
import { formatThreshold, metricInfo } from "@/lib/metrics";
import { clockJoin } from "@/lib/timing";

const SEED = {
  name: "seed",
  label: "Seed",
  value: 0,
  min: 0,
  max: 2147483647,
  step: 1,
  hint: "Of the resampling behind the intervals.",
} as const;

const MODEL_NUMBERS = [
  {
    name: "score_threshold",
    label: "Score threshold",
    value: 0.5,
    min: undefined,
    max: undefined,
    step: "any",
    hint: "Detections below this score do not count.",
  },
  {
    name: "iou_threshold",
    label: "Overlap (IoU)",
    value: 0.5,
    min: 0.05,
    max: 1,
    step: 0.05,
    hint: "From here on a detection matches a truth box.",
  },
  {
    name: "frame_stride",
    label: "Every n-th frame",
    value: 1,
    min: 1,
    max: 1000,
    step: 1,
    hint: "1 evaluates all. More is faster, and latency less exact.",
  },
  SEED,
] as const;

const CAMERA_NUMBERS = [
  {
    name: "tolerance_ms",
    label: "Tolerance (ms)",
    value: 100,
    min: 0,
    max: 60000,
    step: "any",
    hint: "So long after somebody was last visible a signal still counts.",
  },
  {
    name: "early_ms",
    label: "Early within (ms)",
    value: 1000,
    min: 0,
    max: 600000,
    step: "any",
    hint: "A false signal so shortly before somebody appears is called early.",
  },
  SEED,
] as const;

/** Chooses video, ground truth, model or recording, and settings, and starts the run. */
export function StartRun({ project, onClose }: { project: Project; onClose: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const videos = useQuery(videosQuery(project.id));
  const models = useQuery(modelsQuery());
  const [kind, setKind] = useState<"model" | "camera">("model");
  const truths = useQueries({
    queries: (videos.data ?? []).map((video) => truthsQuery(video.id)),
  }).flatMap((query) => query.data ?? []);
  const [chosenVideo, setChosenVideo] = useState<string>();
  // The first video that can be used at once.
  const videoId =
    chosenVideo ??
    videos.data?.find((video) => truths.some((truth) => truth.video_id === video.id))?.id ??
    videos.data?.[0]?.id;
  const ofVideo = truths.filter((truth) => truth.video_id === videoId);
  const [chosenTruth, setChosenTruth] = useState<string>();
  const truth =
    ofVideo.find((item) => item.id === chosenTruth) ?? ofVideo.find((item) => item.approved_by) ?? ofVideo[0];
  const recordings = useQuery({
    ...recordingsQuery(videoId ?? ""),
    enabled: kind === "camera" && videoId !== undefined,
  });
  const joined = recordings.data?.filter((recording) => clockJoin(recording) !== null) ?? [];

  const start = useMutation({
    mutationFn: createRun,
    onSuccess: async (run) => {
      void queries.invalidateQueries({ queryKey: runsQuery(project.id).queryKey });
      await navigate({ to: "/runs/$runId", params: { runId: run.id } });
    },
  });

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (!videoId || !truth) return;
    const form = new FormData(event.currentTarget);
    const number = (name: string) => Number(form.get(name));
    const inputs = { project_id: project.id, video_id: videoId, ground_truth_id: truth.id };
    if (kind === "camera") {
      start.mutate({
        ...inputs,
        kind,
        signals_id: String(form.get("signals")),
        settings: {
          tolerance_ms: number("tolerance_ms"),
          early_ms: number("early_ms"),
          start: form.get("start") === "reasonable" ? "reasonable" : "visible",
          seed: number("seed"),
        },
      });
      return;
    }
    const [model = "", version = ""] = String(form.get("model")).split("\n");
    start.mutate({
      ...inputs,
      model,
      model_version: version,
      settings: {
        score_threshold: number("score_threshold"),
        iou_threshold: number("iou_threshold"),
        frame_stride: number("frame_stride"),
        seed: number("seed"),
      },
    });
  }

  const missing = !videos.data?.length
    ? "Upload a video first, under Videos, ground truth, signals."
    : !truth
      ? "This video has no ground truth yet. Upload it under Videos, ground truth, signals."
      : kind === "model"
        ? models.data?.length
          ? null
          : "The model repository is empty."
        : joined.length
          ? null
          : "This video has no signals whose clock is joined with its own. Upload signals and their markers first.";

  return (
    <Dialog open wide onOpenChange={(open) => !open && onClose()} title="Start a run">
      <form onSubmit={submit} className="flex flex-col gap-4">
        <ProblemNotice error={videos.error ?? models.error ?? recordings.error} />
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label="What to validate">
            {(attributes) => (
              <Select
                {...attributes}
                value={kind}
                onChange={(event) => setKind(event.target.value === "camera" ? "camera" : "model")}
              >
                <option value="model">A model, by its boxes</option>
                <option value="camera">A camera, by its signals</option>
              </Select>
            )}
          </Field>
          {kind === "model" ? (
            <Field label="Model">
              {(attributes) => (
                <Select {...attributes} name="model" required>
                  {models.data?.map((model) => (
                    <option key={`${model.name}\n${model.version}`} value={`${model.name}\n${model.version}`}>
                      {model.name} {model.version}
                    </option>
                  ))}
                </Select>
              )}
            </Field>
          ) : (
            <Field label="Recording">
              {(attributes) => (
                <Select {...attributes} name="signals" required>
                  {joined.map((recording) => (
                    <option key={recording.id} value={recording.id}>
                      {recording.name} ({plural(recording.signal_count, "signal")})
                    </option>
                  ))}
                </Select>
              )}
            </Field>
          )}
          <Field label="Video">
            {(attributes) => (
              <Select
                {...attributes}
                required
                value={videoId ?? ""}
                onChange={(event) => setChosenVideo(event.target.value)}
              >
                {videos.data?.map((video) => (
                  <option key={video.id} value={video.id}>
                    {video.name}
                  </option>
                ))}
              </Select>
            )}
          </Field>
          <Field
            label="Ground truth"
            hint={
              truth && !truth.approved_by
                ? "Nobody has approved this ground truth: every figure of the run will be marked."
                : undefined
            }
          >
            {(attributes) => (
              <Select
                {...attributes}
                required
                value={truth?.id ?? ""}
                onChange={(event) => setChosenTruth(event.target.value)}
              >
                {ofVideo.map((item) => (
                  <option key={item.id} value={item.id}>
                    {item.name} ({plural(item.track_count, "track")}
                    {item.approved_by ? "" : ", not approved"})
                  </option>
                ))}
              </Select>
            )}
          </Field>
        </div>
        <fieldset className="grid gap-4 sm:grid-cols-4">
          <legend className="sr-only">Settings</legend>
          {kind === "camera" && (
            <Field
              label="Counts from"
              hint="Where a latency begins: someone may be too small to be seen before."
            >
              {(attributes) => (
                <Select {...attributes} name="start">
                  <option value="visible">visible</option>
                  <option value="reasonable">50 px high</option>
                </Select>
              )}
            </Field>
          )}
          {(kind === "camera" ? CAMERA_NUMBERS : MODEL_NUMBERS).map(
            ({ name, label, value, hint, ...limits }) => (
              <Field key={name} label={label} hint={hint}>
                {(attributes) => (
                  <Input
                    {...attributes}
                    {...limits}
                    name={name}
                    type="number"
                    required
                    defaultValue={value}
                  />
                )}
              </Field>
            ),
          )}
        </fieldset>
        <CriteriaLine criteria={project.criteria} />
        {kind === "camera" && (
          <p className="-mt-2 text-[13px] text-ink-soft">
            Of these a camera run asks for what signals can show: precision, latencies, false alarms, and
            recall of tracks.
          </p>
        )}
        {missing && <p className="text-unsure">{missing}</p>}
        <ProblemNotice error={start.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          <Button type="submit" look="primary" disabled={start.isPending || missing !== null}>
            {start.isPending ? "Starting" : "Start run"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function CriteriaLine({ criteria }: { criteria: Criterion[] }) {
  const parts = criteria.map(
    (criterion) => `${metricInfo(criterion.metric).label} ${formatThreshold(criterion)}`,
  );
  return (
    <p className="text-[13px] text-ink-soft">
      <span className="font-medium text-ink">Criteria of the project: </span>
      {parts.join("; ") || "none"}
    </p>
  );
}
