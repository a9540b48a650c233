/** Every call of the API that the page makes, in the page's types. Each throws a ProblemError. */
import * as sdk from "./generated";
import { client } from "./generated/client.gen";
import { toProblem } from "./problem";
import type * as t from "./types";
import { type UploadProgress, upload } from "./upload";

client.setConfig({ baseUrl: "", throwOnError: true });
client.interceptors.error.use((error, response) => toProblem(error, response));

const THROW = { throwOnError: true } as const;

async function data<T>(answer: Promise<{ data: unknown }>): Promise<T> {
  return (await answer).data as T;
}

async function items<T>(answer: Promise<{ data: { items: unknown } }>): Promise<T[]> {
  return (await answer).data.items as T[];
}

/** The API's largest page. */
const ALL = { limit: 500 };

export const me = () => data<t.User>(sdk.getCurrentUser(THROW));
export const logIn = async (body: { email: string; password: string }): Promise<t.User> =>
  (await sdk.logIn({ body, ...THROW })).data.user;
export const logOut = () => data<void>(sdk.logOut(THROW));

export const listProjects = () => items<t.Project>(sdk.listProjects({ query: ALL, ...THROW }));
export const getProject = (project_id: string) =>
  data<t.Project>(sdk.getProject({ path: { project_id }, ...THROW }));
export const createProject = (body: t.ProjectDraft) => data<t.Project>(sdk.createProject({ body, ...THROW }));
export const updateProject = (project_id: string, body: Partial<t.ProjectDraft>) =>
  data<t.Project>(sdk.updateProject({ path: { project_id }, body, ...THROW }));
export const deleteProject = (project_id: string) =>
  data<void>(sdk.deleteProject({ path: { project_id }, ...THROW }));

export const listVideos = (project_id: string) =>
  items<t.Video>(sdk.listVideos({ path: { project_id }, query: ALL, ...THROW }));
export const getVideo = (video_id: string) => data<t.Video>(sdk.getVideo({ path: { video_id }, ...THROW }));
export const deleteVideo = (video_id: string) =>
  data<void>(sdk.deleteVideo({ path: { video_id }, ...THROW }));
export const getFrameTimes = (video_id: string) =>
  items<number>(sdk.getFrameTimes({ path: { video_id }, ...THROW }));

export const listGroundTruths = (video_id: string) =>
  items<t.GroundTruth>(sdk.listGroundTruths({ path: { video_id }, query: ALL, ...THROW }));
export const getGroundTruth = (ground_truth_id: string) =>
  data<t.GroundTruth>(sdk.getGroundTruth({ path: { ground_truth_id }, ...THROW }));
export const deleteGroundTruth = (ground_truth_id: string) =>
  data<void>(sdk.deleteGroundTruth({ path: { ground_truth_id }, ...THROW }));
export const approveGroundTruth = (ground_truth_id: string) =>
  data<t.GroundTruth>(sdk.approveGroundTruth({ path: { ground_truth_id }, ...THROW }));
export const listTruthBoxes = (ground_truth_id: string, first_frame: number, last_frame: number) =>
  items<t.TruthBox>(
    sdk.getBoxes({ path: { ground_truth_id }, query: { first_frame, last_frame }, ...THROW }),
  );

export const listRecordings = (video_id: string) =>
  items<t.Recording>(sdk.listSignals({ path: { video_id }, query: ALL, ...THROW }));
export const getRecording = (signals_id: string) =>
  data<t.Recording>(sdk.getSignals({ path: { signals_id }, ...THROW }));
export const deleteRecording = (signals_id: string) =>
  data<void>(sdk.deleteSignals({ path: { signals_id }, ...THROW }));

export const getUploadLimits = () => data<t.UploadLimits>(sdk.getUploadLimits(THROW));
export const listDataSets = (project_id: string) =>
  items<t.DataSet>(sdk.listDataSets({ path: { project_id }, query: ALL, ...THROW }));
export const getDataSet = (data_set_id: string) =>
  data<t.DataSet>(sdk.getDataSet({ path: { data_set_id }, ...THROW }));
export const createDataSet = (project_id: string, name: string, videos: string[]) =>
  data<t.DataSet>(
    sdk.createDataSet({
      path: { project_id },
      body: { name, recordings: videos.map((video_id) => ({ video_id })) },
      ...THROW,
    }),
  );
export const deleteDataSet = (data_set_id: string) =>
  data<void>(sdk.deleteDataSet({ path: { data_set_id }, ...THROW }));
export const listVersions = (data_set_id: string) =>
  items<t.DataSetVersion>(sdk.listVersions({ path: { data_set_id }, query: ALL, ...THROW }));
export const listDataSetRecordings = (data_set_id: string, number: number) =>
  items<t.DataSetRecording>(sdk.listRecordings({ path: { data_set_id, number }, query: ALL, ...THROW }));
export const rankRuns = (data_set_id: string, number: number) =>
  items<t.RankedRun>(sdk.rankRuns({ path: { data_set_id, number }, ...THROW }));
export const listPredictions = (project_id: string) =>
  items<t.Predictions>(sdk.listPredictions({ path: { project_id }, query: ALL, ...THROW }));

export const listModels = () => items<t.Model>(sdk.listModels(THROW));

export const listRuns = (project_id: string) =>
  items<t.Run>(sdk.listRuns({ query: { project_id, ...ALL }, ...THROW }));
export const getRun = (run_id: string) => data<t.Run>(sdk.getRun({ path: { run_id }, ...THROW }));
export const createRun = (body: t.RunDraft) => data<t.Run>(sdk.createRun({ body, ...THROW }));
export const cancelRun = (run_id: string) => data<t.Run>(sdk.cancelRun({ path: { run_id }, ...THROW }));
export const pauseRun = (run_id: string) => data<t.Run>(sdk.pauseRun({ path: { run_id }, ...THROW }));
export const resumeRun = (run_id: string) => data<t.Run>(sdk.resumeRun({ path: { run_id }, ...THROW }));
export const retryRun = (run_id: string) => data<t.Run>(sdk.retryRun({ path: { run_id }, ...THROW }));
export const changeRun = (run_id: string, priority: number) =>
  data<t.Run>(sdk.changeRun({ path: { run_id }, body: { priority }, ...THROW }));
export const listDetections = (run_id: string, first_frame: number, last_frame: number) =>
  items<t.Detection>(sdk.getDetections({ path: { run_id }, query: { first_frame, last_frame }, ...THROW }));

export const listCameras = () => items<t.Camera>(sdk.listCameras(THROW));
export const createCamera = (body: t.CameraDraft) => data<t.Camera>(sdk.createCamera({ body, ...THROW }));
export const deleteCamera = (camera_id: string) =>
  data<void>(sdk.deleteCamera({ path: { camera_id }, ...THROW }));
export const startCamera = (camera_id: string) =>
  data<t.Camera>(sdk.startCamera({ path: { camera_id }, ...THROW }));
export const stopCamera = (camera_id: string) =>
  data<t.Camera>(sdk.stopCamera({ path: { camera_id }, ...THROW }));

export const listSignalSources = () => items<t.SignalSource>(sdk.listSignalSources(THROW));
export const createSignalSource = (body: t.SignalSourceDraft) =>
  data<t.SignalSource>(sdk.createSignalSource({ body, ...THROW }));
export const deleteSignalSource = (source_id: string) =>
  data<void>(sdk.deleteSignalSource({ path: { source_id }, ...THROW }));
export const startSignalSource = (source_id: string) =>
  data<t.SignalSource>(sdk.startSignalSource({ path: { source_id }, ...THROW }));
export const stopSignalSource = (source_id: string) =>
  data<t.SignalSource>(sdk.stopSignalSource({ path: { source_id }, ...THROW }));

export const listLiveRuns = () => items<t.LiveRun>(sdk.listLiveRuns({ query: { limit: 20 }, ...THROW }));
export const createLiveRun = (body: t.LiveRunDraft) => data<t.LiveRun>(sdk.createLiveRun({ body, ...THROW }));

// The generated client cannot give addresses to <video>, <img> and EventSource, nor tell an upload's progress.
const ROOT = "/api/v1";

export const videoFileUrl = (id: string) => `${ROOT}/videos/${id}/file`;
export const runEventsUrl = (id: string) => `${ROOT}/runs/${id}/events`;
export const snapshotUrl = (id: string) => `${ROOT}/cameras/${id}/snapshot`;

interface UploadOptions {
  onProgress: (progress: UploadProgress) => void;
  signal: AbortSignal;
}

export function uploadVideo(projectId: string, file: File, options: UploadOptions): Promise<t.Video> {
  const query = new URLSearchParams({ name: file.name });
  return upload(`${ROOT}/projects/${projectId}/videos?${query}`, file, options);
}

export function uploadGroundTruth(
  videoId: string,
  file: File,
  source: string,
  options: UploadOptions,
): Promise<t.GroundTruth> {
  const query = new URLSearchParams({ name: file.name, source });
  return upload(`${ROOT}/videos/${videoId}/ground-truths?${query}`, file, options);
}

/** Attributes change the version, or make a new one of it once a run has frozen it. */
export function uploadAttributes(
  dataSetId: string,
  version: t.DataSetVersion,
  file: File,
  options: UploadOptions,
): Promise<{ version: t.DataSetVersion }> {
  const query = new URLSearchParams({ name: file.name, new_version: String(version.frozen_at !== null) });
  return upload(
    `${ROOT}/data-sets/${dataSetId}/versions/${version.number}/attributes?${query}`,
    file,
    options,
  );
}

export function uploadPredictions(
  projectId: string,
  file: File,
  about: Record<string, string>,
  options: UploadOptions,
): Promise<t.Predictions> {
  const query = new URLSearchParams({ ...about, file_name: file.name });
  return upload(`${ROOT}/projects/${projectId}/predictions?${query}`, file, options);
}

/** `pollMs`: the period in which the receiver looked for signals. */
export function uploadSignals(
  videoId: string,
  file: File,
  pollMs: number,
  options: UploadOptions,
): Promise<t.Recording> {
  const query = new URLSearchParams({ name: file.name, poll_ms: String(pollMs) });
  return upload(`${ROOT}/videos/${videoId}/signals?${query}`, file, options);
}

export function uploadMarkers(signalsId: string, file: File, options: UploadOptions): Promise<t.Recording> {
  const query = new URLSearchParams({ name: file.name });
  return upload(`${ROOT}/signals/${signalsId}/markers?${query}`, file, options);
}

/** Where a finished run's report is, as a file of a format: "html", "pdf", "json", "csv", "tracks.csv" or "xml". */
export const reportUrl = (runId: string, form: string) => `${ROOT}/runs/${runId}/report.${form}`;

/** Where a completed run's signed evidence is. */
export const evidenceUrl = (runId: string) => `${ROOT}/runs/${runId}/evidence`;
