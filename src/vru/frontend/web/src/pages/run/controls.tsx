import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useId } from "react";
import { cancelRun, changeRun, pauseRun, resumeRun, retryRun } from "@/api/calls";
import { runQuery } from "@/api/queries";
import type { Run } from "@/api/types";
import { ProblemNotice } from "@/components/problem-notice";
import { Button } from "@/components/ui/button";
import { Select } from "@/components/ui/field";
import { PRIORITIES, runActions } from "@/lib/runs";

const ACTIONS = {
  pause: { label: "Pause run", call: pauseRun },
  resume: { label: "Resume run", call: resumeRun },
  cancel: { label: "Cancel run", call: cancelRun },
  retry: { label: "Retry run", call: retryRun },
} as const;

/** What can be done with a run in its present state. */
export function RunControls({ run }: { run: Run }) {
  const queries = useQueryClient();
  const act = useMutation({
    mutationFn: (call: () => Promise<Run>) => call(),
    // Also after a refusal: it says that the run is not where this page believes it to be.
    onSettled: () => queries.invalidateQueries({ queryKey: runQuery(run.id).queryKey }),
  });
  const priorityId = useId();
  const { names, ordered } = runActions(run);
  const priorities = [...new Set([...PRIORITIES.map(({ value }) => value), run.priority])].sort(
    (a, b) => b - a,
  );
  return (
    <div className="flex flex-col gap-3">
      <div className="flex flex-wrap items-center gap-2">
        {ordered && (
          <div className="flex items-center gap-2 text-[13px] text-ink-soft">
            <label htmlFor={priorityId}>Priority</label>
            <Select
              id={priorityId}
              className="w-auto"
              value={run.priority}
              disabled={act.isPending}
              onChange={(event) => {
                const priority = Number(event.target.value);
                act.mutate(() => changeRun(run.id, priority));
              }}
            >
              {priorities.map((value) => (
                <option key={value} value={value}>
                  {PRIORITIES.find((known) => known.value === value)?.label ?? value}
                </option>
              ))}
            </Select>
          </div>
        )}
        {names.map((name) => (
          <Button
            key={name}
            onClick={() => act.mutate(() => ACTIONS[name].call(run.id))}
            disabled={act.isPending}
          >
            {ACTIONS[name].label}
          </Button>
        ))}
      </div>
      <ProblemNotice error={act.error} />
    </div>
  );
}
