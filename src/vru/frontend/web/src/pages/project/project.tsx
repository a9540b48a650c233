import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Play } from "lucide-react";
import { useState } from "react";
import { deleteProject, updateProject } from "@/api/calls";
import { dataSetsQuery, modelsQuery, projectQuery, runsQuery, videosQuery } from "@/api/queries";
import type { Project } from "@/api/types";
import { Page } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { ProjectForm } from "@/components/project-form";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Confirm } from "@/components/ui/dialog";
import { TabPanel, Tabs } from "@/components/ui/tabs";
import { humanise } from "@/lib/format";
import { DataSetsTab } from "./data-sets";
import { ModelsTab } from "./models";
import { RunsTab } from "./runs";
import { StartRun } from "./start-run";
import { VideosTab } from "./videos";

export function ProjectPage() {
  const { projectId } = useParams({ from: "/app/projects/$projectId" });
  const { tab = "runs" } = useSearch({ from: "/app/projects/$projectId" });
  const { data: project } = useSuspenseQuery(projectQuery(projectId));
  const runs = useQuery(runsQuery(projectId));
  const videos = useQuery(videosQuery(projectId));
  const dataSets = useQuery(dataSetsQuery(projectId));
  const models = useQuery(modelsQuery());
  const navigate = useNavigate();
  const [starting, setStarting] = useState(false);

  const about = [
    project.camera_model,
    project.lens,
    project.resolution,
    project.frame_rate && `${project.frame_rate} frames/s`,
    project.signal_type && `signal: ${project.signal_type}`,
  ].filter(Boolean);

  return (
    <Page
      title={project.name}
      crumbs={[{ label: "Projects", link: { to: "/projects" } }]}
      badges={<Badge>{humanise(project.state)}</Badge>}
      intro={
        <>
          {about.length > 0 && <p>{about.join(", ")}</p>}
          {project.description && <p>{project.description}</p>}
        </>
      }
      actions={
        <Button look="primary" onClick={() => setStarting(true)}>
          <Play aria-hidden />
          Start a run
        </Button>
      }
    >
      <Tabs
        label="Project"
        value={tab}
        onChange={(next) =>
          void navigate({ to: ".", search: { tab: next }, replace: true, resetScroll: false })
        }
        tabs={[
          { value: "runs", label: "Runs", count: runs.data?.length },
          { value: "videos", label: "Videos, ground truth, signals", count: videos.data?.length },
          { value: "data-sets", label: "Data sets", count: dataSets.data?.length },
          { value: "models", label: "Models", count: models.data?.length },
          { value: "settings", label: "Settings" },
        ]}
      >
        <TabPanel value="runs">
          <RunsTab projectId={projectId} onStart={() => setStarting(true)} />
        </TabPanel>
        <TabPanel value="videos">
          <VideosTab projectId={projectId} />
        </TabPanel>
        <TabPanel value="data-sets">
          <DataSetsTab projectId={projectId} />
        </TabPanel>
        <TabPanel value="models">
          <ModelsTab />
        </TabPanel>
        <TabPanel value="settings">
          <SettingsTab project={project} />
        </TabPanel>
      </Tabs>
      {starting && <StartRun project={project} onClose={() => setStarting(false)} />}
    </Page>
  );
}

function SettingsTab({ project }: { project: Project }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const save = useMutation({
    mutationFn: (draft: Parameters<typeof updateProject>[1]) => updateProject(project.id, draft),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["projects"] }),
  });
  const remove = useMutation({
    mutationFn: () => deleteProject(project.id),
    onSuccess: async () => {
      await navigate({ to: "/projects" });
      queries.removeQueries({ queryKey: ["projects", project.id] });
      await queries.invalidateQueries({ queryKey: ["projects"] });
    },
    onError: () => setAsking(false),
  });
  return (
    <div className="flex flex-col gap-6">
      <ProjectForm
        project={project}
        busy={save.isPending}
        error={save.error}
        action={save.isPending ? "Saving" : "Save changes"}
        onSubmit={save.mutate}
      />
      <p role="status" className="-mt-4 text-pass empty:hidden">
        {save.isSuccess && "Saved. Runs from now on use these settings; earlier runs keep theirs."}
      </p>
      <div className="border-line border-t pt-5">
        <ProblemNotice error={remove.error} className="mb-3" />
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete project
        </Button>
        <Confirm
          open={asking}
          onOpenChange={setAsking}
          title={`Delete ${project.name}?`}
          action="Delete project"
          busy={remove.isPending}
          onConfirm={() => remove.mutate()}
        >
          Its videos, ground truth, runs and results are deleted too. This cannot be undone.
        </Confirm>
      </div>
    </div>
  );
}
