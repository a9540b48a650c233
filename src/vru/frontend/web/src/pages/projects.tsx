import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { projectsQuery } from "@/api/queries";
import type { Project } from "@/api/types";
import { type Column, DataTable } from "@/components/data-table";
import { Loading, Page } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Empty, Panel } from "@/components/ui/panel";
import { formatDate, humanise, UNKNOWN } from "@/lib/format";

const columns: Column<Project>[] = [
  {
    id: "name",
    accessorFn: (project) => project.name,
    header: "Project",
    cell: ({ row }) => (
      <div>
        <Link
          to="/projects/$projectId"
          params={{ projectId: row.original.id }}
          className="font-medium hover:underline"
        >
          {row.original.name}
        </Link>
        {row.original.description && (
          <p className="line-clamp-1 max-w-md text-[13px] text-ink-faint">{row.original.description}</p>
        )}
      </div>
    ),
  },
  {
    id: "camera",
    accessorFn: (project) => project.camera_model ?? "",
    header: "Camera model",
    cell: ({ row }) => [row.original.camera_model, row.original.lens].filter(Boolean).join(", ") || UNKNOWN,
  },
  {
    id: "picture",
    accessorFn: (project) => project.resolution ?? "",
    header: "Picture",
    cell: ({ row }) =>
      [row.original.resolution, row.original.frame_rate && `${row.original.frame_rate} frames/s`]
        .filter(Boolean)
        .join(", ") || UNKNOWN,
  },
  {
    id: "criteria",
    accessorFn: (project) => project.criteria.length,
    header: "Criteria",
  },
  {
    id: "state",
    accessorFn: (project) => project.state,
    header: "State",
    cell: ({ row }) => <Badge>{humanise(row.original.state)}</Badge>,
  },
  {
    id: "created",
    accessorFn: (project) => project.created_at,
    header: "Created",
    cell: ({ row }) => <span className="whitespace-nowrap">{formatDate(row.original.created_at)}</span>,
  },
];

export function ProjectsPage() {
  const { data, error, isPending, refetch } = useQuery(projectsQuery());
  const navigate = useNavigate();
  return (
    <Page
      title="Projects"
      actions={
        <Button asChild look="primary">
          <Link to="/projects/new">
            <Plus aria-hidden />
            New project
          </Link>
        </Button>
      }
    >
      <ProblemNotice error={error} onRetry={() => void refetch()} className="mb-4" />
      <Panel flush>
        {isPending && <Loading />}
        {data?.length === 0 && (
          <Empty title="No project yet">
            A project holds the videos, the ground truth and the runs of one model or camera.
          </Empty>
        )}
        {data && data.length > 0 && (
          <DataTable
            caption="Projects"
            columns={columns}
            data={data}
            rowId={(project) => project.id}
            numeric={["criteria"]}
            onRowClick={(project) =>
              void navigate({ to: "/projects/$projectId", params: { projectId: project.id } })
            }
          />
        )}
      </Panel>
    </Page>
  );
}
