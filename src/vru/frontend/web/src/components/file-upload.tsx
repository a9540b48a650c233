import { useMutation } from "@tanstack/react-query";
import { Upload } from "lucide-react";
import { type DragEvent, useId, useRef, useState } from "react";
import type { UploadProgress } from "@/api/upload";
import { cn } from "@/lib/cn";
import { formatBytes } from "@/lib/format";
import { ProblemNotice } from "./problem-notice";
import { Button } from "./ui/button";
import { Progress } from "./ui/controls";

interface FileUploadProps {
  label: string;
  hint: string;
  accept: string;
  compact?: boolean;
  send: (
    file: File,
    options: { onProgress: (progress: UploadProgress) => void; signal: AbortSignal },
  ) => Promise<unknown>;
}

/** A place to drop or choose one file; it is sent at once, with progress, and can be stopped. */
export function FileUpload({ label, hint, accept, compact, send }: FileUploadProps) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const abort = useRef<AbortController | null>(null);
  const [over, setOver] = useState(false);
  const [progress, setProgress] = useState<UploadProgress | null>(null);
  const upload = useMutation({
    mutationFn: (file: File) => {
      abort.current = new AbortController();
      setProgress({ sent: 0, total: file.size });
      return send(file, { onProgress: setProgress, signal: abort.current.signal });
    },
    onSettled: () => setProgress(null),
  });

  function drop(event: DragEvent) {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer.files[0];
    if (file && !upload.isPending) upload.mutate(file);
  }

  const stopped = upload.error instanceof DOMException && upload.error.name === "AbortError";
  const allSent = progress !== null && progress.sent >= progress.total;
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
        {upload.isPending && progress ? (
          <div className="flex items-center gap-4">
            <div className="min-w-0 flex-1">
              <div className="figures mb-1.5 flex flex-wrap justify-between gap-x-4 text-[13px]">
                <span className="truncate font-medium">{upload.variables.name}</span>
                <span className="text-ink-soft" role="status">
                  {allSent
                    ? "Checking the file"
                    : `${formatBytes(progress.sent)} of ${formatBytes(progress.total)}`}
                </span>
              </div>
              <Progress
                label={`Upload of ${upload.variables.name}`}
                value={allSent ? null : progress.sent}
                max={progress.total}
              />
            </div>
            <Button size="small" onClick={() => abort.current?.abort()}>
              Stop
            </Button>
          </div>
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
                if (file) upload.mutate(file);
              }}
            />
            <Button size={compact ? "small" : "normal"} onClick={() => input.current?.click()}>
              <Upload aria-hidden />
              {label}
            </Button>
            <p className="text-[13px] text-ink-faint">{hint}</p>
          </div>
        )}
      </div>
      {upload.error && !stopped && <ProblemNotice error={upload.error} className="mt-2" />}
    </div>
  );
}
