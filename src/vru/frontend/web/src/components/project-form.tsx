import { type FormEvent, useState } from "react";
import type { Project, ProjectDraft } from "@/api/types";
import { humanise } from "@/lib/format";
import { defaultCriteria } from "@/lib/metrics";
import { CriteriaEditor } from "./criteria-editor";
import { ProblemNotice } from "./problem-notice";
import { Button } from "./ui/button";
import { Field, Input, Select, Textarea } from "./ui/field";
import { Panel } from "./ui/panel";

const SIGNAL_TYPES = [
  ["udp", "UDP packet"],
  ["serial", "Serial line"],
  ["can", "CAN frame"],
  ["gpio", "GPIO edge"],
  ["voltage", "Voltage threshold"],
] as const;

const PROJECT_STATES: readonly Project["state"][] = [
  "draft",
  "active",
  "testing",
  "analysis",
  "completed",
  "archived",
];

interface ProjectFormProps {
  project?: Project;
  busy: boolean;
  error: unknown;
  action: string;
  onSubmit: (draft: ProjectDraft) => void;
}

export function ProjectForm({ project, busy, error, action, onSubmit }: ProjectFormProps) {
  const [criteria, setCriteria] = useState(project?.criteria ?? defaultCriteria());

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    onSubmit({
      name: text("name"),
      description: text("description"),
      camera_model: text("camera_model") || null,
      lens: text("lens") || null,
      resolution: text("resolution") || null,
      frame_rate: text("frame_rate") ? Number(text("frame_rate")) : null,
      signal_type: text("signal_type") || null,
      criteria,
      ...(project && { state: text("state") as Project["state"] }),
    });
  }

  return (
    <form onSubmit={submit} className="flex flex-col gap-4">
      <Panel title="Under validation">
        <div className="grid gap-4 sm:grid-cols-2 lg:grid-cols-6">
          <Field label="Name" className="sm:col-span-2 lg:col-span-3">
            {(attributes) => (
              <Input
                {...attributes}
                name="name"
                required
                maxLength={200}
                defaultValue={project?.name}
                placeholder="Front camera, revision B"
              />
            )}
          </Field>
          <Field label="Camera model" optional className="lg:col-span-3">
            {(attributes) => (
              <Input {...attributes} name="camera_model" defaultValue={project?.camera_model ?? ""} />
            )}
          </Field>
          <Field label="Lens" optional className="lg:col-span-2">
            {(attributes) => (
              <Input
                {...attributes}
                name="lens"
                defaultValue={project?.lens ?? ""}
                placeholder="6 mm, F1.6"
              />
            )}
          </Field>
          <Field label="Resolution" optional className="lg:col-span-1">
            {(attributes) => (
              <Input
                {...attributes}
                name="resolution"
                pattern="\d{2,5}x\d{2,5}"
                title="Width x height in pixels, such as 1920x1080"
                defaultValue={project?.resolution ?? ""}
                placeholder="1920x1080"
              />
            )}
          </Field>
          <Field label="Frame rate" optional className="lg:col-span-1">
            {(attributes) => (
              <Input
                {...attributes}
                name="frame_rate"
                type="number"
                min={0.1}
                max={1000}
                step="any"
                defaultValue={project?.frame_rate ?? ""}
                placeholder="30"
              />
            )}
          </Field>
          <Field label="Signal type" optional className="lg:col-span-2">
            {(attributes) => (
              <Select {...attributes} name="signal_type" defaultValue={project?.signal_type ?? ""}>
                <option value="">None: a model is validated</option>
                {SIGNAL_TYPES.map(([value, label]) => (
                  <option key={value} value={value}>
                    {label}
                  </option>
                ))}
              </Select>
            )}
          </Field>
          {project && (
            <Field label="State" className="lg:col-span-2">
              {(attributes) => (
                <Select {...attributes} name="state" key={project.state} defaultValue={project.state}>
                  {PROJECT_STATES.map((state) => (
                    <option key={state} value={state}>
                      {humanise(state)}
                    </option>
                  ))}
                </Select>
              )}
            </Field>
          )}
          <Field label="Description" optional className="sm:col-span-2 lg:col-span-6">
            {(attributes) => (
              <Textarea {...attributes} name="description" defaultValue={project?.description} rows={3} />
            )}
          </Field>
        </div>
      </Panel>
      <Panel
        title="Criteria"
        note="A run passes if, at the given confidence, the interval's worse bound clears every required threshold."
      >
        <CriteriaEditor value={criteria} onChange={setCriteria} />
      </Panel>
      <ProblemNotice error={error} />
      <div>
        <Button type="submit" look="primary" disabled={busy}>
          {action}
        </Button>
      </div>
    </form>
  );
}
