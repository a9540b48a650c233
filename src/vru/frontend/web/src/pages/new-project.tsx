import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { createProject } from "@/api/calls";
import { Page } from "@/components/page";
import { ProjectForm } from "@/components/project-form";

export function NewProjectPage() {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const create = useMutation({
    mutationFn: createProject,
    onSuccess: async (project) => {
      await queries.invalidateQueries({ queryKey: ["projects"] });
      await navigate({
        to: "/projects/$projectId",
        params: { projectId: project.id },
        search: { tab: "videos" },
      });
    },
  });
  return (
    <Page
      title="New project"
      crumbs={[{ label: "Projects", link: { to: "/projects" } }]}
      intro="A project is one model or camera under validation, and what it must reach."
    >
      <ProjectForm
        busy={create.isPending}
        error={create.error}
        action="Create project"
        onSubmit={create.mutate}
      />
    </Page>
  );
}
