import { TriangleAlert } from "lucide-react";
import { ProblemError } from "@/api/problem";
import { cn } from "@/lib/cn";
import { Button } from "./ui/button";

interface ProblemNoticeProps {
  error: unknown;
  onRetry?: () => void;
  className?: string;
}

/** What went wrong, what to do about it, and the request's id for whoever reads the logs. */
export function ProblemNotice({ error, onRetry, className }: ProblemNoticeProps) {
  if (!error) return null;
  const problem = error instanceof ProblemError ? error : null;
  const message = error instanceof Error ? error.message : String(error);
  return (
    <div
      role="alert"
      className={cn("flex gap-3 rounded-md border border-fail/40 bg-fail-wash px-3.5 py-2.5", className)}
    >
      <TriangleAlert aria-hidden className="mt-0.5 size-4 shrink-0 text-fail" />
      <div className="min-w-0 flex-1">
        <p className="break-words font-medium text-fail">{message}</p>
        {problem?.fix && <p className="mt-0.5 break-words">{problem.fix}</p>}
        {problem?.requestId && (
          <p className="mt-1 font-mono text-[11.5px] text-ink-soft">Request {problem.requestId}</p>
        )}
      </div>
      {onRetry && (
        <Button size="small" onClick={onRetry}>
          Try again
        </Button>
      )}
    </div>
  );
}
