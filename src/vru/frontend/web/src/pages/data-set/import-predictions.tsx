import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { uploadPredictions } from "@/api/calls";
import { predictionsQuery } from "@/api/queries";
import type { DataSet, DataSetVersion, Predictions } from "@/api/types";
import { FileUpload } from "@/components/file-upload";
import { Field, Input } from "@/components/ui/field";
import { Panel } from "@/components/ui/panel";
import { formatCount } from "@/lib/format";

/** Imports boxes of a detector that ran elsewhere. */
export function ImportPredictions({ dataSet, version }: { dataSet: DataSet; version: DataSetVersion }) {
  const queries = useQueryClient();
  const [about, setAbout] = useState({ name: "", version: "", made_by: "", classes: "", class: "" });
  const [stored, setStored] = useState<Predictions>();
  const text = (key: keyof typeof about, label: string, hint?: string) => (
    <Field label={label} hint={hint} optional={hint !== undefined}>
      {(attributes) => (
        <Input
          {...attributes}
          value={about[key]}
          maxLength={200}
          onChange={(event) => setAbout({ ...about, [key]: event.target.value })}
        />
      )}
    </Field>
  );
  const named = about.name && about.version && about.made_by;
  return (
    <Panel title="Imported predictions" note="boxes of a detector that ran elsewhere">
      <div className="flex flex-col gap-3">
        <div className="grid gap-3 sm:grid-cols-2">
          {text("name", "Detector")}
          {text("version", "Its version")}
        </div>
        {text("made_by", "Made by")}
        {text("class", "Class of all boxes", "where the file names none, such as pedestrian")}
        {text("classes", "Classes", "of numbers or other names: 1=pedestrian,2=cyclist")}
        {named ? (
          <FileUpload
            compact
            place={`predictions for ${dataSet.id}`}
            limit="video_bytes"
            label="Upload predictions"
            hint="COCO results, MOT, KITTI or YOLO; one file, or a zip with one for each recording"
            accept=".json,.txt,.zip"
            send={async (file, options) => {
              const given = Object.fromEntries(Object.entries(about).filter(([, value]) => value));
              const made = await uploadPredictions(
                dataSet.project_id,
                file,
                { ...given, data_set_id: dataSet.id, data_set_version: String(version.number) },
                options,
              );
              setStored(made);
              await queries.invalidateQueries({ queryKey: predictionsQuery(dataSet.project_id).queryKey });
            }}
          />
        ) : (
          <p className="text-[13px] text-ink-soft">Say which detector, which version, and who ran it.</p>
        )}
        <p role="status" className="text-pass empty:hidden">
          {stored && `${formatCount(stored.box_count)} boxes imported. A run can be started with them.`}
        </p>
      </div>
    </Panel>
  );
}
