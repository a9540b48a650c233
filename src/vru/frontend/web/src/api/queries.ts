import { queryOptions } from "@tanstack/react-query";
import { isFinal } from "@/lib/runs";
import * as api from "./calls";

/** Frames whose boxes are fetched at once: some 200 KB of JSON in a busy scene. */
export const CHUNK = 1000;

export const meQuery = () =>
  queryOptions({ queryKey: ["me"], queryFn: api.me, staleTime: 60_000, retry: false });

export const projectsQuery = () => queryOptions({ queryKey: ["projects"], queryFn: api.listProjects });

export const projectQuery = (id: string) =>
  queryOptions({ queryKey: ["projects", id], queryFn: () => api.getProject(id) });

export const videosQuery = (projectId: string) =>
  queryOptions({ queryKey: ["projects", projectId, "videos"], queryFn: () => api.listVideos(projectId) });

export const videoQuery = (id: string) =>
  queryOptions({ queryKey: ["videos", id], queryFn: () => api.getVideo(id) });

export const frameTimesQuery = (videoId: string) =>
  queryOptions({
    queryKey: ["videos", videoId, "frame-times"],
    queryFn: () => api.getFrameTimes(videoId),
    staleTime: Number.POSITIVE_INFINITY,
  });

export const truthsQuery = (videoId: string) =>
  queryOptions({ queryKey: ["videos", videoId, "truths"], queryFn: () => api.listGroundTruths(videoId) });

export const truthQuery = (id: string) =>
  queryOptions({ queryKey: ["truths", id], queryFn: () => api.getGroundTruth(id) });

export const truthBoxesQuery = (id: string, chunk: number) =>
  queryOptions({
    queryKey: ["truths", id, "boxes", chunk],
    queryFn: () => api.listTruthBoxes(id, chunk * CHUNK, (chunk + 1) * CHUNK - 1),
    staleTime: Number.POSITIVE_INFINITY,
  });

export const recordingsQuery = (videoId: string) =>
  queryOptions({ queryKey: ["videos", videoId, "signals"], queryFn: () => api.listRecordings(videoId) });

export const recordingQuery = (id: string) =>
  queryOptions({ queryKey: ["signals", id], queryFn: () => api.getRecording(id) });

export const dataSetsQuery = (projectId: string) =>
  queryOptions({
    queryKey: ["projects", projectId, "data-sets"],
    queryFn: () => api.listDataSets(projectId),
  });

export const dataSetQuery = (id: string) =>
  queryOptions({ queryKey: ["data-sets", id], queryFn: () => api.getDataSet(id) });

export const versionsQuery = (id: string) =>
  queryOptions({ queryKey: ["data-sets", id, "versions"], queryFn: () => api.listVersions(id) });

export const dataSetRecordingsQuery = (id: string, number: number) =>
  queryOptions({
    queryKey: ["data-sets", id, "recordings", number],
    queryFn: () => api.listDataSetRecordings(id, number),
  });

export const rankedRunsQuery = (id: string, number: number) =>
  queryOptions({ queryKey: ["data-sets", id, "runs", number], queryFn: () => api.rankRuns(id, number) });

export const predictionsQuery = (projectId: string) =>
  queryOptions({
    queryKey: ["projects", projectId, "predictions"],
    queryFn: () => api.listPredictions(projectId),
  });

export const modelsQuery = () => queryOptions({ queryKey: ["models"], queryFn: api.listModels });

export const uploadLimitsQuery = () =>
  queryOptions({
    queryKey: ["upload-limits"],
    queryFn: api.getUploadLimits,
    staleTime: Number.POSITIVE_INFINITY,
  });

export const runsQuery = (projectId: string) =>
  queryOptions({
    queryKey: ["projects", projectId, "runs"],
    queryFn: () => api.listRuns(projectId),
    // A table with a run under way stays alive.
    refetchInterval: ({ state }) => (state.data?.some((run) => !isFinal(run.state)) ? 2000 : false),
  });

export const runQuery = (id: string) =>
  queryOptions({ queryKey: ["runs", id], queryFn: () => api.getRun(id) });

export const detectionsQuery = (runId: string, chunk: number) =>
  queryOptions({
    queryKey: ["runs", runId, "detections", chunk],
    queryFn: () => api.listDetections(runId, chunk * CHUNK, (chunk + 1) * CHUNK - 1),
    staleTime: Number.POSITIVE_INFINITY,
  });

export const signalSourcesQuery = () =>
  queryOptions({ queryKey: ["signal-sources"], queryFn: api.listSignalSources, refetchInterval: 2000 });

export const liveRunsQuery = () =>
  queryOptions({ queryKey: ["live-runs"], queryFn: api.listLiveRuns, refetchInterval: 2000 });

export const camerasQuery = () =>
  queryOptions({ queryKey: ["cameras"], queryFn: api.listCameras, refetchInterval: 2000 });
