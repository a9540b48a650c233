/**
 * The page's names for what the API sends. The description of the API marks fields that have a default as optional,
 * because a request may leave them out; an answer always has them.
 */
import type {
  CameraBody,
  CameraCreate,
  CameraRunBody,
  CameraRunCreate,
  CameraRunMetrics as CameraRunMetricsBody,
  CameraRunSettings as CameraRunSettingsBody,
  CameraTrackResult,
  CriterionBody,
  CriterionResultBody,
  DataSetBody,
  DataSetRunCreate,
  DataSetRunMetrics as DataSetRunMetricsBody,
  DetectionBody,
  Entry,
  GroundTruthBody,
  LiveRunBody,
  LiveRunCreate,
  MeasurementBody,
  ModelBody,
  ModelRunBody,
  PredictionsBody,
  ProjectBody,
  ProjectCreate,
  RecordingBody,
  RecordingResult,
  RunCreate,
  RunMetrics as RunMetricsBody,
  RunSettings as RunSettingsBody,
  SignalBody,
  SignalSourceBody,
  SignalSourceCreate,
  SignalsBody,
  TrackResult,
  TruthBoxBody,
  UserBody,
  VersionBody,
  VideoBody,
  VruClass,
} from "./generated";

export type { RunEvent, RunState, TrackResult, UploadLimits, Verdict } from "./generated";

export type RoadUser = VruClass;
export type User = UserBody;
export type Video = VideoBody;
export type GroundTruth = GroundTruthBody;
export type TruthBox = TruthBoxBody;
export type Detection = DetectionBody;
export type Criterion = Required<CriterionBody>;
export type Measurement = Required<MeasurementBody>;
export type CriterionResult = Omit<Required<CriterionResultBody>, "criterion" | "measurement"> & {
  criterion: Criterion;
  measurement: Measurement;
};
export type RunSettings = Required<RunSettingsBody>;
export type RunMetrics = Omit<RunMetricsBody, "measurements"> & { measurements: Measurement[] };
export type DataSetRunMetrics = Omit<DataSetRunMetricsBody, "measurements"> & { measurements: Measurement[] };
export type { RecordingResult };
export type DataSet = DataSetBody;
export type DataSetVersion = VersionBody;
/** A video of a data set, with its conditions. */
export type DataSetRecording = RecordingBody;
/** A completed run over a version of a data set. */
export type RankedRun = Entry;
export type Predictions = PredictionsBody;
export type CameraRunSettings = Required<CameraRunSettingsBody>;
export type CameraRunMetrics = Omit<CameraRunMetricsBody, "measurements"> & { measurements: Measurement[] };
/** A device's recording of signals. */
export type Recording = SignalsBody;
export type FalseSignal = SignalBody & { kind: "False alarm" | "Early" | "Duplicate" };
/** Of either kind of run; only those of camera runs have an uncertainty. */
export type Track = TrackResult & Partial<Pick<CameraTrackResult, "latency_uncertainty_ms">>;
type RunOf<Body, Settings, Metrics> = Omit<Body, "settings" | "criteria" | "metrics" | "verdict_reasons"> & {
  settings: Settings;
  criteria: Criterion[];
  metrics: Metrics | null;
  verdict_reasons: CriterionResult[] | null;
};
export type ModelRun = RunOf<ModelRunBody, RunSettings, RunMetrics | DataSetRunMetrics>;
export type CameraRun = RunOf<CameraRunBody, CameraRunSettings, CameraRunMetrics>;
/** Its `kind` says which settings and metrics it has. */
export type Run = ModelRun | CameraRun;
export type Model = ModelBody;
export type Camera = CameraBody;
export type SignalSource = SignalSourceBody;
export type SignalSourceDraft = SignalSourceCreate;
export type LiveRun = LiveRunBody;
export type LiveRunDraft = LiveRunCreate;
export type Project = Omit<ProjectBody, "criteria"> & { criteria: Criterion[] };
export type ProjectDraft = Required<Omit<ProjectCreate, "state" | "criteria">> & { criteria: Criterion[] };
export type RunDraft =
  | Omit<RunCreate, "criteria">
  | Omit<CameraRunCreate, "criteria">
  | Omit<DataSetRunCreate, "criteria">;
export type CameraDraft = CameraCreate;
