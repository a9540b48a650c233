import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { createRun } from "@/api/calls";
import { modelsQuery, predictionsQuery, runsQuery } from "@/api/queries";
import type { DataSet, DataSetVersion } from "@/api/types";
import { ProblemNotice } from "@/components/problem-notice";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Select } from "@/components/ui/field";
import { plural } from "@/lib/format";

const NUMBERS = [
  { name: "score_threshold", label: "Score threshold", value: 0.5, min: 0, max: 1, step: "any" },
  { name: "iou_threshold", label: "Overlap (IoU)", value: 0.5, min: 0.05, max: 0.95, step: 0.05 },
  { name: "frame_stride", label: "Every n-th frame", value: 1, min: 1, max: 1000, step: 1 },
] as const;

const IMPORTED = "imported:";

/** Chooses a model or imported predictions, and settings, and starts a run over a data set's version. */
export function StartDataSetRun({
  dataSet,
  version,
  onClose,
}: {
  dataSet: DataSet;
  version: DataSetVersion;
  onClose: () => void;
}) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const models = useQuery(modelsQuery());
  const predictions = useQuery(predictionsQuery(dataSet.project_id));
  const start = useMutation({
    mutationFn: createRun,
    onSuccess: async (run) => {
      void queries.invalidateQueries({ queryKey: runsQuery(dataSet.project_id).queryKey });
      void queries.invalidateQueries({ queryKey: ["data-sets", dataSet.id] });
      await navigate({ to: "/runs/$runId", params: { runId: run.id } });
    },
  });

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const detector = String(form.get("detector"));
    const [model = "", model_version = ""] = detector.split("\n");
    start.mutate({
      project_id: dataSet.project_id,
      data_set_id: dataSet.id,
      data_set_version: version.number,
      ...(detector.startsWith(IMPORTED)
        ? { predictions_id: detector.slice(IMPORTED.length) }
        : { model, model_version }),
      settings: {
        score_threshold: Number(form.get("score_threshold")),
        iou_threshold: Number(form.get("iou_threshold")),
        frame_stride: Number(form.get("frame_stride")),
      },
    });
  }

  return (
    <Dialog open wide onOpenChange={(open) => !open && onClose()} title="Start a run over the data set">
      <form onSubmit={submit} className="flex flex-col gap-4">
        <ProblemNotice error={models.error ?? predictions.error} />
        <p>
          {dataSet.name}, version {version.number}: {plural(version.recording_count, "recording")}.
          {!version.frozen_at && " From this run on the version does not change any more."}
        </p>
        <Field label="Under test">
          {(attributes) => (
            <Select {...attributes} name="detector" required>
              <optgroup label="Models">
                {models.data?.map((model) => (
                  <option key={`${model.name}\n${model.version}`} value={`${model.name}\n${model.version}`}>
                    {model.name} {model.version}
                  </option>
                ))}
              </optgroup>
              <optgroup label="Imported predictions">
                {predictions.data?.map((item) => (
                  <option key={item.id} value={`${IMPORTED}${item.id}`}>
                    {item.name} {item.version}, by {item.made_by}
                  </option>
                ))}
              </optgroup>
            </Select>
          )}
        </Field>
        <fieldset className="grid gap-4 sm:grid-cols-3">
          <legend className="sr-only">Settings</legend>
          {NUMBERS.map(({ name, label, value, ...limits }) => (
            <Field key={name} label={label}>
              {(attributes) => (
                <Input {...attributes} {...limits} name={name} type="number" required defaultValue={value} />
              )}
            </Field>
          ))}
        </fieldset>
        <p className="text-[13px] text-ink-soft">The criteria are those of the project.</p>
        <ProblemNotice error={start.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          <Button type="submit" look="primary" disabled={start.isPending}>
            {start.isPending ? "Starting" : "Start run"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
