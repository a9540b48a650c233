import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { createSignalSource, startSignalSource } from "@/api/calls";
import { signalSourcesQuery } from "@/api/queries";
import { ProblemNotice } from "@/components/problem-notice";
import { Button } from "@/components/ui/button";
import { Dialog } from "@/components/ui/dialog";
import { Field, Input, Select, Textarea } from "@/components/ui/field";

const DRIVERS = ["udp", "serial", "can", "http", "mqtt", "gpio", "voltage"] as const;

/** Lines such as port=5005. What is a number or true or false in JSON is one. */
export function readSettings(text: string): Record<string, unknown> {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  return Object.fromEntries(
    lines.map((line) => {
      const [name = "", ...rest] = line.split("=");
      const value = rest.join("=").trim();
      return [name.trim(), /^(-?\d+(\.\d+)?|true|false)$/.test(value) ? JSON.parse(value) : value];
    }),
  );
}

export function NewSource({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const create = useMutation({
    mutationFn: async (form: FormData) => {
      const text = (name: string) => String(form.get(name)).trim();
      const secrets = readSettings(text("secrets"));
      const made = await createSignalSource({
        name: text("name"),
        driver: text("driver"),
        settings: readSettings(text("settings")),
        secrets: Object.fromEntries(Object.entries(secrets).map(([name, value]) => [name, String(value)])),
        payload: { format: text("format") === "json" ? "json" : "text" },
        debounce_ms: Number(text("debounce")),
      });
      return startSignalSource(made.id);
    },
    onSuccess: onClose,
    onSettled: () => queries.invalidateQueries({ queryKey: signalSourcesQuery().queryKey }),
  });
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    create.mutate(new FormData(event.currentTarget));
  }
  return (
    <Dialog open onOpenChange={(open) => !open && onClose()} title="New signal source">
      <form onSubmit={submit} className="flex flex-col gap-4">
        <Field label="Name">
          {(attributes) => <Input {...attributes} name="name" required maxLength={100} />}
        </Field>
        <Field label="Driver">
          {(attributes) => (
            <Select {...attributes} name="driver">
              {DRIVERS.map((driver) => (
                <option key={driver}>{driver}</option>
              ))}
            </Select>
          )}
        </Field>
        <Field label="Settings" hint="One a line, such as port=5005">
          {(attributes) => <Textarea {...attributes} name="settings" rows={3} defaultValue="port=5005" />}
        </Field>
        <Field label="Secrets" optional hint="Such as password=...; they are encrypted and never shown">
          {(attributes) => <Textarea {...attributes} name="secrets" rows={2} autoComplete="off" />}
        </Field>
        <Field label="Payload">
          {(attributes) => (
            <Select {...attributes} name="format">
              <option value="json">JSON: class, time_ns, value</option>
              <option value="text">Text: all of it is the value</option>
            </Select>
          )}
        </Field>
        <Field label="Debounce" hint="Milliseconds within which repeats are dropped">
          {(attributes) => (
            <Input {...attributes} name="debounce" type="number" min={0} max={60000} defaultValue={0} />
          )}
        </Field>
        <ProblemNotice error={create.error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Not now</Button>
          <Button type="submit" look="primary" disabled={create.isPending}>
            Create and start
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
