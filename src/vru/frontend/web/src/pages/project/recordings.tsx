import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Check, Trash2 } from "lucide-react";
import { useId, useState } from "react";
import { deleteRecording, uploadMarkers, uploadSignals } from "@/api/calls";
import { recordingsQuery } from "@/api/queries";
import type { Recording } from "@/api/types";
import { FileUpload } from "@/components/file-upload";
import { ProblemNotice } from "@/components/problem-notice";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Confirm } from "@/components/ui/dialog";
import { Input } from "@/components/ui/field";
import { formatDate, plural } from "@/lib/format";
import { clockJoin } from "@/lib/timing";

const ACCEPT = ".csv,.jsonl,text/csv,application/jsonl";

/** What devices said while a video was shown to them, and the markers that join their clock with the video's. */
export function Recordings({ videoId }: { videoId: string }) {
  const queries = useQueryClient();
  const recordings = useQuery(recordingsQuery(videoId));
  const [poll, setPoll] = useState("0");
  const id = useId();
  return (
    <div className="mt-5 border-line border-t pt-4">
      <h3 className="mb-2 text-[13px]">Signals of a camera</h3>
      <ProblemNotice error={recordings.error} className="mb-3" />
      {recordings.data?.length === 0 && (
        <p className="mb-3 text-ink-soft">None yet. Only a run of a camera needs them, not one of a model.</p>
      )}
      <ul className="mb-3 flex flex-col divide-y divide-line">
        {recordings.data?.map((recording) => (
          <RecordingRow key={recording.id} recording={recording} />
        ))}
      </ul>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <div className="min-w-72 flex-1">
          <FileUpload
            compact
            place={`signals of ${videoId}`}
            limit="signals_bytes"
            label="Upload signals"
            hint="CSV or JSON Lines: time_ns, kind and, if the device says it, class"
            accept={ACCEPT}
            send={async (file, options) => {
              await uploadSignals(videoId, file, Number(poll), options);
              await queries.invalidateQueries({ queryKey: recordingsQuery(videoId).queryKey });
            }}
          />
        </div>
        <div className="flex items-center gap-2 text-[13px]">
          <label htmlFor={id}>Polled every</label>
          <Input
            id={id}
            className="h-8 w-20"
            type="number"
            min={0}
            step="any"
            value={poll}
            title="The period in which the receiver looked for signals; 0 if it waited for them"
            onChange={(event) => setPoll(event.target.value)}
          />
          ms
        </div>
      </div>
    </div>
  );
}

function RecordingRow({ recording }: { recording: Recording }) {
  const queries = useQueryClient();
  const [asking, setAsking] = useState(false);
  const refresh = () => queries.invalidateQueries({ queryKey: recordingsQuery(recording.video_id).queryKey });
  const remove = useMutation({
    mutationFn: () => deleteRecording(recording.id),
    onSuccess: refresh,
    onSettled: () => setAsking(false),
  });
  const join = clockJoin(recording);
  return (
    <li className="py-2">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <div className="min-w-60 flex-1">
          <p className="break-words font-medium">{recording.name}</p>
          <p className="figures text-[13px] text-ink-faint">
            {plural(recording.signal_count, "signal")}, polled every {recording.poll_ms} ms,{" "}
            {formatDate(recording.created_at)}
          </p>
        </div>
        {join ? (
          <Badge tone="pass">
            <Check aria-hidden />
            {join}
          </Badge>
        ) : (
          <Badge tone="unsure">Clock not joined</Badge>
        )}
        <Button
          look="quiet"
          size="iconSmall"
          aria-label={`Delete signals ${recording.name}`}
          title="Delete signals"
          onClick={() => setAsking(true)}
        >
          <Trash2 />
        </Button>
      </div>
      {!join && (
        <div className="mt-2">
          <FileUpload
            compact
            place={`markers of ${recording.id}`}
            limit="ground_truth_bytes"
            label={`Upload markers of ${recording.name}`}
            hint="CSV or JSON Lines: media_s and time_ns. They join the signals' clock with the video's."
            accept={ACCEPT}
            send={async (file, options) => {
              await uploadMarkers(recording.id, file, options);
              await refresh();
            }}
          />
        </div>
      )}
      <ProblemNotice error={remove.error} className="mt-2" />
      <Confirm
        open={asking}
        onOpenChange={setAsking}
        title={`Delete ${recording.name}?`}
        action="Delete signals"
        busy={remove.isPending}
        onConfirm={() => remove.mutate()}
      >
        Its markers are deleted too. Signals that a run has used cannot be deleted.
      </Confirm>
    </li>
  );
}
