import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { Check } from "lucide-react";
import { approveGroundTruth } from "@/api/calls";
import { projectQuery, truthQuery, truthsQuery, videoQuery } from "@/api/queries";
import { Loading, Page } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Facts, Panel } from "@/components/ui/panel";
import { formatCount, formatDate } from "@/lib/format";
import { Viewer } from "@/viewer/viewer";

/** One ground truth over its video: somebody looks at it, then approves it. */
export function TruthPage() {
  const { truthId } = useParams({ from: "/app/ground-truths/$truthId" });
  const { data: truth } = useSuspenseQuery(truthQuery(truthId));
  const video = useQuery(videoQuery(truth.video_id));
  const project = useQuery({
    ...projectQuery(video.data?.project_id ?? ""),
    enabled: video.data !== undefined,
  });
  const queries = useQueryClient();
  const approve = useMutation({
    mutationFn: () => approveGroundTruth(truthId),
    onSuccess: async () => {
      await Promise.all([
        queries.invalidateQueries({ queryKey: truthQuery(truthId).queryKey, exact: true }),
        queries.invalidateQueries({ queryKey: truthsQuery(truth.video_id).queryKey }),
      ]);
    },
  });
  return (
    <Page
      title={truth.name}
      crumbs={[
        { label: "Projects", link: { to: "/projects" } },
        ...(video.data
          ? [
              {
                label: project.data?.name ?? "Project",
                link: {
                  to: "/projects/$projectId" as const,
                  params: { projectId: video.data.project_id },
                  search: { tab: "videos" as const },
                },
              },
            ]
          : []),
        { label: video.data?.name ?? "Video" },
      ]}
      badges={
        truth.approved_by ? (
          <Badge tone="pass">
            <Check aria-hidden />
            Approved by {truth.approved_by}
          </Badge>
        ) : (
          <Badge tone="unsure">Not approved</Badge>
        )
      }
      intro={
        !truth.approved_by && (
          <p>
            Look at each track from its first to its last frame. Approving says that the boxes are right;
            until then every figure made with them is marked.
          </p>
        )
      }
      actions={
        !truth.approved_by && (
          <Button look="primary" disabled={approve.isPending} onClick={() => approve.mutate()}>
            <Check aria-hidden />
            Approve
          </Button>
        )
      }
    >
      <ProblemNotice error={approve.error ?? video.error} className="mb-4" />
      <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_340px]">
        <Panel flush className="overflow-hidden">
          {video.data ? (
            <Viewer video={video.data} truthId={truthId} truthApproved={truth.approved_by !== null} />
          ) : (
            !video.error && <Loading />
          )}
        </Panel>
        <Panel title="Ground truth">
          <Facts
            facts={[
              ["Tracks", formatCount(truth.track_count)],
              ["Boxes", formatCount(truth.box_count)],
              ["Made by", truth.source],
              ["Format", truth.format],
              ["Uploaded", formatDate(truth.created_at)],
              ["Approved", truth.approved_at ? formatDate(truth.approved_at) : "not yet"],
              [
                "Digest",
                <code key="digest" className="break-all font-mono text-[12px]">
                  {truth.sha256}
                </code>,
              ],
            ]}
          />
        </Panel>
      </div>
    </Page>
  );
}
