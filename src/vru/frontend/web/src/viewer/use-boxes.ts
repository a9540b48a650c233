import { type UseQueryOptions, useQueries } from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import { CHUNK, detectionsQuery, truthBoxesQuery } from "@/api/queries";
import type { Detection, TruthBox } from "@/api/types";
import { groupByFrame } from "@/lib/boxes";

/** Up to here all boxes are fetched, for the lanes; of longer videos only what is near the frame shown. */
const WHOLE_VIDEO_CHUNKS = 30;

/** The chunks to have in memory while `frame` is shown. */
export function chunksFor(frame: number, frameCount: number): number[] {
  const count = Math.max(1, Math.ceil(frameCount / CHUNK));
  if (count <= WHOLE_VIDEO_CHUNKS) return Array.from({ length: count }, (_, index) => index);
  const here = Math.floor(frame / CHUNK);
  return [here - 1, here, here + 1].filter((chunk) => chunk >= 0 && chunk < count);
}

export interface Boxes {
  truth: TruthBox[];
  truthByFrame: Map<number, TruthBox[]>;
  detections: Detection[];
  detectionsByFrame: Map<number, Detection[]>;
  pending: boolean;
  error: Error | null;
}

interface Combined<T> {
  items: T[];
  pending: boolean;
  error: Error | null;
}

function useChunks<T>(queries: UseQueryOptions<T[], Error>[]): Combined<T> {
  const combine = useCallback(
    (results: { data: T[] | undefined; isPending: boolean; error: Error | null }[]): Combined<T> => ({
      items: results.flatMap((result) => result.data ?? []),
      pending: results.some((result) => result.isPending),
      error: results.find((result) => result.error)?.error ?? null,
    }),
    [],
  );
  return useQueries({ queries, combine }) as Combined<T>;
}

/** Truth and, of a run, detections around `frame`. */
export function useBoxes(
  truthId: string,
  runId: string | undefined,
  frame: number,
  frameCount: number,
): Boxes {
  const key = chunksFor(frame, frameCount).join();
  const chunks = useMemo(() => key.split(",").map(Number), [key]);
  const truth = useChunks<TruthBox>(
    chunks.map((chunk) => truthBoxesQuery(truthId, chunk) as unknown as UseQueryOptions<TruthBox[], Error>),
  );
  const found = useChunks<Detection>(
    runId === undefined
      ? []
      : chunks.map(
          (chunk) => detectionsQuery(runId, chunk) as unknown as UseQueryOptions<Detection[], Error>,
        ),
  );
  const truthByFrame = useMemo(() => groupByFrame(truth.items), [truth.items]);
  const detectionsByFrame = useMemo(() => groupByFrame(found.items), [found.items]);
  return {
    truth: truth.items,
    truthByFrame,
    detections: found.items,
    detectionsByFrame,
    pending: truth.pending || found.pending,
    error: truth.error ?? found.error,
  };
}
