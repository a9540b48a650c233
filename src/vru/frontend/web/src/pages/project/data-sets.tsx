import { useMutation, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { createDataSet } from "@/api/calls";
import { dataSetsQuery, truthsQuery, videosQuery } from "@/api/queries";
import { Loading } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input } from "@/components/ui/field";
import { Empty, Panel } from "@/components/ui/panel";
import { formatCount, formatDate, formatDuration, plural } from "@/lib/format";

/** The data sets of a project. */
export function DataSetsTab({ projectId }: { projectId: string }) {
  const { data, error, isPending, refetch } = useQuery(dataSetsQuery(projectId));
  const [making, setMaking] = useState(false);
  return (
    <div className="flex flex-col gap-4">
      <div>
        <Button onClick={() => setMaking(true)}>New data set</Button>
      </div>
      <ProblemNotice error={error} onRetry={() => void refetch()} />
      <Panel flush>
        {isPending && <Loading />}
        {data?.length === 0 && (
          <Empty title="No data set yet">
            A data set is a list of videos with approved ground truth. One run gives a verdict on all of them.
          </Empty>
        )}
        <ul className="divide-y divide-line">
          {data?.map((item) => (
            <li key={item.id} className="flex flex-wrap items-baseline gap-x-4 gap-y-1 px-4 py-3">
              <Link
                to="/data-sets/$dataSetId"
                params={{ dataSetId: item.id }}
                className="font-medium hover:underline"
              >
                {item.name}
              </Link>
              <span className="figures text-ink-soft">
                version {item.newest.number}, {plural(item.newest.recording_count, "recording")},{" "}
                {formatCount(item.newest.frame_count)} frames, {formatDuration(item.newest.duration_s)}
              </span>
              <span className="ml-auto text-[13px] text-ink-faint">{formatDate(item.newest.created_at)}</span>
            </li>
          ))}
        </ul>
      </Panel>
      {making && <NewDataSet projectId={projectId} onClose={() => setMaking(false)} />}
    </div>
  );
}

/** Names a data set and chooses its videos: those with approved ground truth. */
function NewDataSet({ projectId, onClose }: { projectId: string; onClose: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const videos = useQuery(videosQuery(projectId));
  const truths = useQueries({ queries: (videos.data ?? []).map((video) => truthsQuery(video.id)) });
  const usable = new Set(
    truths
      .flatMap((query) => query.data ?? [])
      .flatMap((truth) => (truth.approved_by ? [truth.video_id] : [])),
  );
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const chosen = (videos.data ?? []).filter((video) => usable.has(video.id) && !left.has(video.id));
  const make = useMutation({
    mutationFn: (name: string) =>
      createDataSet(
        projectId,
        name,
        chosen.map((video) => video.id),
      ),
    onSuccess: async (made) => {
      void queries.invalidateQueries({ queryKey: dataSetsQuery(projectId).queryKey });
      await navigate({ to: "/data-sets/$dataSetId", params: { dataSetId: made.id } });
    },
  });

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    make.mutate(String(new FormData(event.currentTarget).get("name")));
  }

  function choose(id: string, taken: boolean) {
    const next = new Set(left);
    if (taken) next.delete(id);
    else next.add(id);
    setLeft(next);
  }

  return (
    <Dialog open wide onOpenChange={(open) => !open && onClose()} title="New data set">
      <form onSubmit={submit} className="flex flex-col gap-4">
        <ProblemNotice error={videos.error} />
        <Field label="Name">
          {(attributes) => <Input {...attributes} name="name" required maxLength={200} />}
        </Field>
        <fieldset className="flex flex-col gap-1.5">
          <legend className="mb-1 font-medium text-[13px]">
            Videos, {chosen.length} of {videos.data?.length ?? 0}
          </legend>
          <div className="flex max-h-80 flex-col gap-1.5 overflow-y-auto">
            {videos.data?.map((video) => (
              <label key={video.id} className="flex items-center gap-2">
                <input
                  type="checkbox"
                  disabled={!usable.has(video.id)}
                  checked={usable.has(video.id) && !left.has(video.id)}
                  onChange={(event) => choose(video.id, event.target.checked)}
                />
                {video.name}
                {!usable.has(video.id) && <span className="text-ink-faint">no approved ground truth</span>}
              </label>
            ))}
          </div>
        </fieldset>
        <ProblemNotice error={make.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          <Button type="submit" look="primary" disabled={make.isPending || chosen.length === 0}>
            {make.isPending ? "Making" : "Make data set"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
