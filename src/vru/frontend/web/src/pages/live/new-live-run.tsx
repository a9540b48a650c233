import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { createLiveRun } from "@/api/calls";
import { liveRunsQuery, projectsQuery, truthsQuery, videosQuery } from "@/api/queries";
import type { SignalSource } from "@/api/types";
import { ProblemNotice } from "@/components/problem-notice";
import { Button } from "@/components/ui/button";
import { Switch } from "@/components/ui/controls";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Select } from "@/components/ui/field";

export function NewLiveRun({ sources, onClose }: { sources: SignalSource[]; onClose: () => void }) {
  const queries = useQueryClient();
  const projects = useQuery(projectsQuery());
  const [projectId, setProject] = useState("");
  const [videoId, setVideo] = useState("");
  const [rig, setRig] = useState(true);
  const videos = useQuery({ ...videosQuery(projectId), enabled: projectId !== "" });
  const truths = useQuery({ ...truthsQuery(videoId), enabled: videoId !== "" });
  const start = useMutation({
    mutationFn: (form: FormData) => {
      const text = (name: string) => String(form.get(name)).trim();
      return createLiveRun({
        project_id: projectId,
        video_id: videoId,
        ground_truth_id: text("truth"),
        source_id: text("source"),
        rig: rig ? { scenario: text("scenario") || null } : null,
      });
    },
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: liveRunsQuery().queryKey });
      onClose();
    },
  });
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    start.mutate(new FormData(event.currentTarget));
  }
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title="Start live run">
      <form onSubmit={submit} className="flex flex-col gap-4">
        <Field label="Project">
          {(attributes) => (
            <Select
              {...attributes}
              required
              value={projectId}
              onChange={(event) => setProject(event.target.value)}
            >
              <option value="">Choose</option>
              <Options items={projects.data} />
            </Select>
          )}
        </Field>
        <Field label="Video">
          {(attributes) => (
            <Select
              {...attributes}
              required
              value={videoId}
              onChange={(event) => setVideo(event.target.value)}
            >
              <option value="">Choose</option>
              <Options items={videos.data} />
            </Select>
          )}
        </Field>
        <Field label="Ground truth">
          {(attributes) => (
            <Select {...attributes} name="truth" required>
              <Options items={truths.data} />
            </Select>
          )}
        </Field>
        <Field label="Signal source">
          {(attributes) => (
            <Select {...attributes} name="source" required>
              <Options items={sources.filter((source) => source.state === "running")} />
            </Select>
          )}
        </Field>
        <Switch label="The virtual rig plays the ground truth" checked={rig} onChange={setRig} />
        {rig && (
          <Field
            label="Scenario"
            optional
            hint="How the device behaves; an unknown name is answered with the list"
          >
            {(attributes) => <Input {...attributes} name="scenario" />}
          </Field>
        )}
        <ProblemNotice error={start.error ?? projects.error ?? videos.error ?? truths.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          <Button type="submit" look="primary" disabled={start.isPending}>
            Start
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Options({ items }: { items: readonly { id: string; name: string }[] | undefined }) {
  return items?.map((item) => (
    <option key={item.id} value={item.id}>
      {item.name}
    </option>
  ));
}
