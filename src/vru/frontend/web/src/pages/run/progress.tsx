import { Check } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { Run } from "@/api/types";
import { Progress } from "@/components/ui/controls";
import { Panel } from "@/components/ui/panel";
import { cn } from "@/lib/cn";
import { formatCount, formatDuration, humanise } from "@/lib/format";
import { pace, RUN_STEPS, runMeaning } from "@/lib/runs";
import { RunControls } from "./controls";

/** Where a run that is under way stands, and how long it may take. */
export function RunProgress({ run, broken }: { run: Run; broken: boolean }) {
  const here = RUN_STEPS.indexOf(run.state);
  const speed = usePace(run);
  return (
    <Panel>
      <ol className="mb-4 flex flex-wrap gap-x-1.5 gap-y-2 text-[13px]" aria-label="Steps of the run">
        {RUN_STEPS.map((step, index) => (
          <li
            key={step}
            aria-current={index === here ? "step" : undefined}
            className={cn(
              "flex items-center gap-1.5 text-ink-faint",
              index < here && "text-ink-soft",
              index === here && "font-semibold text-ink",
            )}
          >
            {index > 0 && <span aria-hidden className="mr-1 h-px w-5 bg-line-strong" />}
            {index < here ? (
              <Check aria-hidden className="size-3.5 text-pass" strokeWidth={3} />
            ) : (
              <span
                aria-hidden
                className={cn(
                  "size-2 rounded-full border border-line-strong",
                  index === here && "border-accent bg-accent",
                )}
              />
            )}
            {humanise(step)}
          </li>
        ))}
      </ol>
      <div className="flex flex-wrap items-center gap-x-6 gap-y-3">
        <div className="min-w-64 flex-1">
          <div className="figures mb-1.5 flex flex-wrap justify-between gap-x-4">
            <span role="status">{runMeaning(run)}</span>
            <span className="text-ink-soft">
              {run.frames_total > 0 &&
                `${formatCount(run.frames_done)} of ${formatCount(run.frames_total)} frames`}
              {speed &&
                run.state === "running" &&
                !run.paused_at &&
                `, ${speed.perSecond.toFixed(speed.perSecond < 10 ? 1 : 0)} frames/s, about ${formatDuration(Math.ceil(speed.secondsLeft))} left`}
            </span>
          </div>
          <Progress
            label="Frames evaluated"
            value={run.state === "running" || run.state === "analysing" ? run.frames_done : null}
            max={run.frames_total}
          />
        </div>
        <RunControls run={run} />
      </div>
      {broken && (
        <p className="mt-2 text-[13px] text-ink-faint">
          The live stream is interrupted: asking every two seconds.
        </p>
      )}
    </Panel>
  );
}

function usePace(run: Run) {
  const began = useRef<{ at: number; done: number } | null>(null);
  const [speed, setSpeed] = useState<ReturnType<typeof pace>>(null);
  useEffect(() => {
    if (run.state !== "running") return;
    const now = { at: Date.now(), done: run.frames_done, total: run.frames_total };
    began.current ??= now;
    setSpeed(pace(began.current, now));
  }, [run.state, run.frames_done, run.frames_total]);
  return speed;
}
