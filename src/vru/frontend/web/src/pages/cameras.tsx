import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Play, Plus, Square, Trash2, VideoOff } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { createCamera, deleteCamera, snapshotUrl, startCamera, stopCamera } from "@/api/calls";
import { camerasQuery } from "@/api/queries";
import type { Camera } from "@/api/types";
import { Loading, Page } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { Badge, type Tone } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Switch } from "@/components/ui/controls";
import { Confirm, Dialog } from "@/components/ui/dialog";
import { Field, Input, Select } from "@/components/ui/field";
import { Empty, Facts, Panel } from "@/components/ui/panel";
import { formatCount, formatDate, formatMediaTime, humanise, UNKNOWN } from "@/lib/format";

const SNAPSHOT_MS = 1000;
const TONE: Record<Camera["state"], Tone> = {
  stopped: "neutral",
  starting: "accent",
  running: "pass",
  failed: "fail",
  ended: "neutral",
};

export function CamerasPage() {
  const { data, error, isPending, refetch } = useQuery(camerasQuery());
  const [creating, setCreating] = useState(false);
  return (
    <Page
      title="Cameras"
      intro={<p>Devices under test and picture sources: a file of the media store, or a virtual camera.</p>}
      actions={
        <Button look="primary" onClick={() => setCreating(true)}>
          <Plus aria-hidden />
          New camera
        </Button>
      }
    >
      <ProblemNotice error={error} onRetry={() => void refetch()} className="mb-4" />
      {isPending && <Loading />}
      {data?.length === 0 && (
        <Panel>
          <Empty title="No camera yet">
            A virtual camera shows a synthetic road scene with exact ground truth: a good first one.
          </Empty>
        </Panel>
      )}
      <div className="grid gap-4 md:grid-cols-2 xl:grid-cols-3">
        {data?.map((camera) => (
          <CameraCard key={camera.id} camera={camera} />
        ))}
      </div>
      {creating && <CreateCamera onClose={() => setCreating(false)} />}
    </Page>
  );
}

function CameraCard({ camera }: { camera: Camera }) {
  const queries = useQueryClient();
  const [asking, setAsking] = useState(false);
  const refresh = () => queries.invalidateQueries({ queryKey: camerasQuery().queryKey });
  const start = useMutation({ mutationFn: () => startCamera(camera.id), onSuccess: refresh });
  const stop = useMutation({ mutationFn: () => stopCamera(camera.id), onSuccess: refresh });
  const remove = useMutation({
    mutationFn: () => deleteCamera(camera.id),
    onSuccess: refresh,
    onSettled: () => setAsking(false),
  });
  const on = camera.state === "running" || camera.state === "starting";
  return (
    <Panel
      flush
      className="overflow-hidden"
      title={camera.name}
      actions={<Badge tone={TONE[camera.state]}>{humanise(camera.state)}</Badge>}
    >
      <Snapshot camera={camera} />
      <div className="p-4">
        {camera.error && <ProblemNotice error={new Error(camera.error)} className="mb-3" />}
        <ProblemNotice error={start.error ?? stop.error ?? remove.error} className="mb-3" />
        <Facts
          facts={[
            ["Source", `${humanise(camera.kind)}: ${camera.source}`],
            ["Picture", camera.width && camera.height ? `${camera.width} × ${camera.height}` : UNKNOWN],
            ["Frames read", formatCount(camera.frames_read)],
            [
              "Media time",
              camera.last_frame_media_s === null ? UNKNOWN : formatMediaTime(camera.last_frame_media_s),
            ],
            ["Newest frame", camera.last_frame_at ? formatDate(camera.last_frame_at) : UNKNOWN],
          ]}
        />
        <div className="mt-4 flex gap-2">
          {on ? (
            <Button size="small" onClick={() => stop.mutate()} disabled={stop.isPending}>
              <Square aria-hidden />
              Stop
            </Button>
          ) : (
            <Button size="small" look="primary" onClick={() => start.mutate()} disabled={start.isPending}>
              <Play aria-hidden />
              Start
            </Button>
          )}
          <Button
            look="quiet"
            size="iconSmall"
            className="ml-auto"
            aria-label={`Delete camera ${camera.name}`}
            title="Delete camera"
            onClick={() => setAsking(true)}
          >
            <Trash2 />
          </Button>
        </div>
      </div>
      <Confirm
        open={asking}
        onOpenChange={setAsking}
        title={`Delete ${camera.name}?`}
        action="Delete camera"
        busy={remove.isPending}
        onConfirm={() => remove.mutate()}
      >
        Its source, a file for example, stays.
      </Confirm>
    </Panel>
  );
}

/** The camera's newest picture. The next is asked for when the last has come, so that a slow line is not flooded. */
function Snapshot({ camera }: { camera: Camera }) {
  const live = camera.state === "running";
  const [tick, setTick] = useState(0);
  const [loaded, setLoaded] = useState(0);
  const [failed, setFailed] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `loaded` counts pictures; each sets the next one's timer.
  useEffect(() => {
    if (!live) return;
    const timer = setTimeout(() => setTick((value) => value + 1), SNAPSHOT_MS);
    return () => clearTimeout(timer);
  }, [live, loaded]);
  return (
    <div className="grid aspect-video place-items-center border-line border-b bg-sunken text-ink-faint">
      {live && !(failed && loaded === 0) ? (
        <img
          src={`${snapshotUrl(camera.id)}?${tick}`}
          alt={`Newest frame of ${camera.name}`}
          className="size-full object-contain"
          onLoad={() => {
            setFailed(false);
            setLoaded((value) => value + 1);
          }}
          onError={() => {
            setFailed(true);
            setLoaded((value) => value + 1);
          }}
        />
      ) : (
        <span className="flex flex-col items-center gap-1 text-[13px]">
          <VideoOff aria-hidden className="size-6" />
          {camera.state === "starting" ? "Waiting for the first frame" : "No picture while it is not running"}
        </span>
      )}
    </div>
  );
}

function CreateCamera({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const [kind, setKind] = useState<"virtual" | "file">("virtual");
  const [loop, setLoop] = useState(true);
  const create = useMutation({
    mutationFn: createCamera,
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: camerasQuery().queryKey });
      onClose();
    },
  });
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name)).trim();
    create.mutate({ name: text("name"), kind, source: text("source"), loop });
  }
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title="New camera">
      <form onSubmit={submit} className="flex flex-col gap-4">
        <Field label="Name">
          {(attributes) => <Input {...attributes} name="name" required maxLength={100} />}
        </Field>
        <Field label="Kind">
          {(attributes) => (
            <Select
              {...attributes}
              value={kind}
              onChange={(event) => setKind(event.target.value === "file" ? "file" : "virtual")}
            >
              <option value="virtual">Virtual: a synthetic road scene</option>
              <option value="file">File of the media store</option>
            </Select>
          )}
        </Field>
        <Field
          key={kind}
          label={kind === "virtual" ? "Scene" : "File"}
          hint={
            kind === "virtual"
              ? "Name of a scene; an unknown name is answered with the list of scenes."
              : "Path below the media directory, such as videos/name.mp4"
          }
        >
          {(attributes) => (
            <Input
              {...attributes}
              name="source"
              required
              defaultValue={kind === "virtual" ? "crossing" : ""}
            />
          )}
        </Field>
        <Switch label="Begin again at the end" checked={loop} onChange={setLoop} />
        <ProblemNotice error={create.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          <Button type="submit" look="primary" disabled={create.isPending}>
            Create camera
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
