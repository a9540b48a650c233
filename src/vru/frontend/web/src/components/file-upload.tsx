import { useQueryClient } from "@tanstack/react-query";
import { Upload as UploadIcon } from "lucide-react";
import { type DragEvent, useId, useRef, useState } from "react";
import { FileTooLargeError } from "@/api/problem";
import { uploadLimitsQuery } from "@/api/queries";
import type { UploadLimits } from "@/api/types";
import { type Send, startUpload, type Upload, useUpload, useUploads } from "@/api/uploads";
import { cn } from "@/lib/cn";
import { formatBytes } from "@/lib/format";
import { ProblemNotice } from "./problem-notice";
import { Button } from "./ui/button";
import { Progress } from "./ui/controls";

interface FileUploadProps {
  /** Where the file goes; no other upload has it. */
  place: string;
  label: string;
  hint: string;
  accept: string;
  /** Which of the platform's limits the file must keep. */
  limit: keyof UploadLimits;
  compact?: boolean;
  send: Send;
}

/** A place to drop or choose one file; it is sent at once, with progress, and can be stopped. */
export function FileUpload({ place, label, hint, accept, limit, compact, send }: FileUploadProps) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const queries = useQueryClient();
  const upload = useUpload(place);
  const sending = upload !== undefined && upload.error === undefined;

  function begin(file: File | undefined) {
    if (!file) return;
    void startUpload(place, file, async (chosen, options) => {
      // Refused before the first byte is sent; where the limit cannot be asked for the server refuses it.
      const most = (await queries.ensureQueryData(uploadLimitsQuery()).catch(() => undefined))?.[limit];
      if (most !== undefined && chosen.size > most)
        throw new FileTooLargeError(chosen.name, chosen.size, most);
      await send(chosen, options);
    });
  }

  function drop(event: DragEvent) {
    event.preventDefault();
    setOver(false);
    begin(event.dataTransfer.files[0]);
  }

  return (
    <div>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping is an extra; the button inside does the same. */}
      <div
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
        className={cn(
          "rounded-lg border border-line-strong border-dashed bg-surface",
          compact ? "px-3 py-2.5" : "px-4 py-4",
          over && "border-accent bg-accent-wash",
        )}
      >
        {sending ? (
          <UploadProgress upload={upload} />
        ) : (
          <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
            <input
              ref={input}
              id={id}
              type="file"
              accept={accept}
              aria-label={label}
              className="sr-only"
              tabIndex={-1}
              onChange={(event) => {
                const file = event.target.files?.[0];
                event.target.value = "";
                begin(file);
              }}
            />
            <Button size={compact ? "small" : "normal"} onClick={() => input.current?.click()}>
              <UploadIcon aria-hidden />
              {label}
            </Button>
            <p className="text-[13px] text-ink-faint">{hint}</p>
          </div>
        )}
      </div>
      {upload?.error !== undefined && <ProblemNotice error={upload.error} className="mt-2" />}
    </div>
  );
}

function UploadProgress({ upload }: { upload: Upload }) {
  const allSent = upload.sent >= upload.total;
  return (
    <div className="flex items-center gap-4">
      <div className="min-w-0 flex-1">
        <div className="figures mb-1.5 flex flex-wrap justify-between gap-x-4 text-[13px]">
          <span className="truncate font-medium">{upload.name}</span>
          <span className="text-ink-soft" role="status">
            {allSent ? "Checking the file" : `${formatBytes(upload.sent)} of ${formatBytes(upload.total)}`}
          </span>
        </div>
        <Progress
          label={`Upload of ${upload.name}`}
          value={allSent ? null : upload.sent}
          max={upload.total}
        />
      </div>
      <Button size="small" onClick={upload.stop}>
        Stop
      </Button>
    </div>
  );
}

/** Says on every page what is being sent. */
export function UploadsNote() {
  const uploads = useUploads();
  if (uploads.length === 0) return null;
  const sent = uploads.reduce((sum, upload) => sum + upload.sent, 0);
  const total = uploads.reduce((sum, upload) => sum + upload.total, 0);
  const what = uploads.length === 1 ? uploads[0]?.name : `${uploads.length} files`;
  return (
    <p role="status" className="figures max-w-64 truncate text-[13px] text-ink-soft" title={what}>
      {sent >= total ? "Checking" : `Sending ${Math.floor((100 * sent) / Math.max(1, total))} %:`} {what}
    </p>
  );
}
