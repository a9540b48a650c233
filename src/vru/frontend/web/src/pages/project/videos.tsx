import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Check, Eye, Trash2 } from "lucide-react";
import { useId, useState } from "react";
import { deleteGroundTruth, deleteVideo, uploadGroundTruth, uploadVideo } from "@/api/calls";
import { projectQuery, truthsQuery, videosQuery } from "@/api/queries";
import type { GroundTruth, Video } from "@/api/types";
import { FileUpload } from "@/components/file-upload";
import { Loading } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Confirm } from "@/components/ui/dialog";
import { Input, Select } from "@/components/ui/field";
import { Empty, Panel } from "@/components/ui/panel";
import { formatBytes, formatCount, formatDate, formatDuration, plural } from "@/lib/format";
import { Recordings } from "./recordings";

export function VideosTab({ projectId }: { projectId: string }) {
  const { data, error, isPending, refetch } = useQuery(videosQuery(projectId));
  const queries = useQueryClient();
  return (
    <div className="flex flex-col gap-4">
      <FileUpload
        place={`video of ${projectId}`}
        limit="video_bytes"
        label="Upload a video"
        hint="or drop a file here. MP4, MKV, MOV, AVI, WebM; frames keep their exact timestamps."
        accept="video/*,.mkv,.avi,.ts"
        send={async (file, options) => {
          await uploadVideo(projectId, file, options);
          // The project too: it is no draft any more.
          await queries.invalidateQueries({ queryKey: projectQuery(projectId).queryKey });
        }}
      />
      <ProblemNotice error={error} onRetry={() => void refetch()} />
      {isPending && <Loading />}
      {data?.length === 0 && (
        <Panel>
          <Empty title="No video yet">
            A run needs a video, and ground truth that says who is visible in it.
          </Empty>
        </Panel>
      )}
      {data?.map((video) => (
        <VideoPanel key={video.id} video={video} />
      ))}
    </div>
  );
}

function VideoPanel({ video }: { video: Video }) {
  const queries = useQueryClient();
  const truths = useQuery(truthsQuery(video.id));
  const [asking, setAsking] = useState(false);
  const [source, setSource] = useState("manual");
  const remove = useMutation({
    mutationFn: () => deleteVideo(video.id),
    onSuccess: () => queries.invalidateQueries({ queryKey: videosQuery(video.project_id).queryKey }),
    onSettled: () => setAsking(false),
  });
  const rate = video.duration_s > 0 ? video.frame_count / video.duration_s : null;
  return (
    <Panel
      title={video.name}
      note={[
        `${video.width} × ${video.height}`,
        `${formatCount(video.frame_count)} frames`,
        formatDuration(video.duration_s),
        rate && `${rate.toFixed(rate < 10 ? 2 : 1)} frames/s on average`,
        video.codec,
        formatBytes(video.size_bytes),
      ]
        .filter(Boolean)
        .join(", ")}
      actions={
        <Button
          look="quiet"
          size="iconSmall"
          aria-label={`Delete video ${video.name}`}
          title="Delete video"
          onClick={() => setAsking(true)}
        >
          <Trash2 />
        </Button>
      }
    >
      <ProblemNotice error={remove.error ?? truths.error} className="mb-3" />
      <h3 className="mb-2 text-[13px]">Ground truth</h3>
      {truths.data?.length === 0 && <p className="mb-3 text-ink-soft">None yet.</p>}
      <ul className="mb-3 flex flex-col divide-y divide-line">
        {truths.data?.map((truth) => (
          <TruthRow key={truth.id} truth={truth} />
        ))}
      </ul>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <div className="min-w-72 flex-1">
          <FileUpload
            compact
            place={`truth of ${video.id}`}
            limit="ground_truth_bytes"
            label="Upload ground truth"
            hint="COCO JSON or CVAT XML of this video"
            accept=".json,.xml,application/json,text/xml"
            send={async (file, options) => {
              await uploadGroundTruth(video.id, file, source, options);
              await queries.invalidateQueries({ queryKey: truthsQuery(video.id).queryKey });
            }}
          />
        </div>
        <SourceChoice value={source} onChange={setSource} />
      </div>
      <Recordings videoId={video.id} />
      <Confirm
        open={asking}
        onOpenChange={setAsking}
        title={`Delete ${video.name}?`}
        action="Delete video"
        busy={remove.isPending}
        onConfirm={() => remove.mutate()}
      >
        The file, its ground truth and its signals are deleted. A video that a run has used cannot be deleted.
      </Confirm>
    </Panel>
  );
}

/** Who or what made the boxes: truth made by the model under test is refused. */
function SourceChoice({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const id = useId();
  const model = value.startsWith("model:");
  return (
    <div className="flex items-center gap-2 text-[13px]">
      <label htmlFor={id}>Made by</label>
      <Select
        id={id}
        className="h-8 w-auto"
        value={model ? "model:" : value}
        onChange={(event) => onChange(event.target.value)}
      >
        <option value="manual">people</option>
        <option value="synthetic">a synthetic scene</option>
        <option value="model:">a model</option>
      </Select>
      {model && (
        <Input
          className="h-8 w-40"
          aria-label="Name of the model that made the ground truth"
          placeholder="its name"
          value={value.slice("model:".length)}
          onChange={(event) => onChange(`model:${event.target.value}`)}
        />
      )}
    </div>
  );
}

function TruthRow({ truth }: { truth: GroundTruth }) {
  const queries = useQueryClient();
  const [asking, setAsking] = useState(false);
  const remove = useMutation({
    mutationFn: () => deleteGroundTruth(truth.id),
    onSuccess: () => queries.invalidateQueries({ queryKey: truthsQuery(truth.video_id).queryKey }),
    onSettled: () => setAsking(false),
  });
  return (
    <li className="py-2">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <div className="min-w-60 flex-1">
          <Link
            to="/ground-truths/$truthId"
            params={{ truthId: truth.id }}
            className="break-words font-medium hover:underline"
          >
            {truth.name}
          </Link>
          <p className="figures text-[13px] text-ink-faint">
            {plural(truth.track_count, "track")}, {plural(truth.box_count, "box", "boxes")}, {truth.format},{" "}
            {truth.source}, {formatDate(truth.created_at)}
          </p>
        </div>
        {truth.approved_by ? (
          <Badge tone="pass" title={truth.approved_at ? formatDate(truth.approved_at) : undefined}>
            <Check aria-hidden />
            Approved by {truth.approved_by}
          </Badge>
        ) : (
          <Badge tone="unsure">Not approved</Badge>
        )}
        <Button asChild size="small">
          <Link to="/ground-truths/$truthId" params={{ truthId: truth.id }}>
            <Eye aria-hidden />
            {truth.approved_by ? "Look at it" : "Review and approve"}
          </Link>
        </Button>
        <Button
          look="quiet"
          size="iconSmall"
          aria-label={`Delete ground truth ${truth.name}`}
          title="Delete ground truth"
          onClick={() => setAsking(true)}
        >
          <Trash2 />
        </Button>
      </div>
      <ProblemNotice error={remove.error} className="mt-2" />
      <Confirm
        open={asking}
        onOpenChange={setAsking}
        title={`Delete ${truth.name}?`}
        action="Delete ground truth"
        busy={remove.isPending}
        onConfirm={() => remove.mutate()}
      >
        Its boxes are deleted. Ground truth that a run has used cannot be deleted.
      </Confirm>
    </li>
  );
}
