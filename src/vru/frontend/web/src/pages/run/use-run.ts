import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { runEventsUrl } from "@/api/calls";
import { runQuery } from "@/api/queries";
import type { Run, RunEvent } from "@/api/types";
import { isFinal } from "@/lib/runs";
import { inStreamTurn } from "@/lib/stream-turn";

/** How often (ms) a run is asked for while it has no event stream that works. */
const POLL_MS = 2000;

/**
 * A run, kept up to date: by its event stream, or by asking again and again where the stream breaks or another tab has
 * the browser's one. At a final state the whole run is fetched once more, with its metrics and verdict.
 */
export function useRun(id: string) {
  const queries = useQueryClient();
  const [broken, setBroken] = useState(false);
  const [following, setFollowing] = useState(false);
  const query = useQuery({
    ...runQuery(id),
    refetchInterval: ({ state }) =>
      (broken || !following) && state.data && !isFinal(state.data.state) ? POLL_MS : false,
  });
  const live = query.data !== undefined && !isFinal(query.data.state);

  useEffect(() => {
    if (!live) return;
    return inStreamTurn(() => {
      setFollowing(true);
      const stream = followRun(queries, id, setBroken);
      return () => {
        stream.close();
        setFollowing(false);
      };
    });
  }, [id, live, queries]);

  return { ...query, live, broken };
}

function followRun(queries: QueryClient, id: string, setBroken: (broken: boolean) => void): EventSource {
  const { queryKey } = runQuery(id);
  const stream = new EventSource(runEventsUrl(id));
  stream.addEventListener("run", (message) => {
    const event = JSON.parse(message.data) as RunEvent;
    setBroken(false);
    if (isFinal(event.state)) {
      // The server ends the stream now; the browser would connect again.
      stream.close();
      void queries.invalidateQueries({ queryKey });
      return;
    }
    const { state, frames_done, frames_total, priority = 0 } = event;
    const paused_at = event.paused ? new Date().toISOString() : null;
    const before = queries.getQueryData<Run>(queryKey);
    // The event says how many clips were set aside, not which.
    if (before && before.set_aside.length !== (event.set_aside ?? 0)) {
      void queries.invalidateQueries({ queryKey });
    }
    queries.setQueryData<Run>(
      queryKey,
      (run) => run && { ...run, state, frames_done, frames_total, priority, paused_at },
    );
  });
  stream.addEventListener("error", () => setBroken(true));
  return stream;
}
