import { Plus, RotateCcw, Trash2 } from "lucide-react";
import type { Criterion } from "@/api/types";
import { defaultCriteria, defaultCriterion, METRIC_NAMES, metricInfo, unitAfter } from "@/lib/metrics";
import { Button } from "./ui/button";
import { Input, Select } from "./ui/field";

interface CriteriaEditorProps {
  value: Criterion[];
  onChange: (value: Criterion[]) => void;
}

const COMPACT = "h-8 px-2";

/** What a model or camera must reach. One row a criterion. */
export function CriteriaEditor({ value, onChange }: CriteriaEditorProps) {
  function change(index: number, changes: Partial<Criterion>) {
    onChange(
      value.map((criterion, position) => (position === index ? { ...criterion, ...changes } : criterion)),
    );
  }
  function changeMetric(index: number, metric: string) {
    const { comparator, threshold } = defaultCriterion(metric);
    change(index, { metric, comparator, threshold });
  }
  const unused = METRIC_NAMES.find((name) => !value.some((criterion) => criterion.metric === name));

  return (
    <div>
      <div className="relative overflow-x-auto">
        <table className="min-w-170 border-collapse">
          <caption className="sr-only">Criteria</caption>
          <thead>
            <tr className="text-left text-[12.5px] text-ink-faint [&_th]:pr-2 [&_th]:pb-1 [&_th]:font-medium">
              <th scope="col">Metric</th>
              <th scope="col">Must be</th>
              <th scope="col">Threshold</th>
              <th scope="col">Confidence</th>
              <th scope="col">Slice</th>
              <th scope="col">If not met</th>
              <th scope="col">
                <span className="sr-only">Remove</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {value.map((criterion, index) => {
              const info = metricInfo(criterion.metric);
              const names = METRIC_NAMES.includes(criterion.metric)
                ? METRIC_NAMES
                : [...METRIC_NAMES, criterion.metric];
              const about = `of criterion ${index + 1}, ${info.label}`;
              return (
                // biome-ignore lint/suspicious/noArrayIndexKey: rows have no identity but their place.
                <tr key={index} className="[&_td]:py-1 [&_td]:pr-2">
                  <td className="w-64">
                    <Select
                      className={COMPACT}
                      aria-label={`Metric of criterion ${index + 1}`}
                      title={info.meaning}
                      value={criterion.metric}
                      onChange={(event) => changeMetric(index, event.target.value)}
                    >
                      {names.map((name) => (
                        <option key={name} value={name}>
                          {metricInfo(name).label}
                        </option>
                      ))}
                    </Select>
                  </td>
                  <td className="w-28">
                    <Select
                      className={COMPACT}
                      aria-label={`Comparator ${about}`}
                      value={criterion.comparator}
                      onChange={(event) =>
                        change(index, { comparator: event.target.value as Criterion["comparator"] })
                      }
                    >
                      <option value=">=">at least</option>
                      <option value="<=">at most</option>
                    </Select>
                  </td>
                  <td className="w-32">
                    <span className="flex items-center gap-1.5">
                      <Input
                        className={COMPACT}
                        type="number"
                        step="any"
                        min={info.least ?? undefined}
                        max={info.most ?? undefined}
                        required
                        aria-label={`Threshold ${about}`}
                        value={Number.isNaN(criterion.threshold) ? "" : criterion.threshold}
                        onChange={(event) => change(index, { threshold: event.target.valueAsNumber })}
                      />
                      <span className="w-7 shrink-0 text-[12.5px] text-ink-faint">
                        {unitAfter(criterion.metric).trim()}
                      </span>
                    </span>
                  </td>
                  <td className="w-24">
                    <Select
                      className={COMPACT}
                      aria-label={`Confidence ${about}`}
                      value={criterion.confidence_level}
                      onChange={(event) => change(index, { confidence_level: Number(event.target.value) })}
                    >
                      {[...new Set([0.8, 0.9, 0.95, 0.99, criterion.confidence_level])]
                        .sort()
                        .map((level) => (
                          <option key={level} value={level}>
                            {Math.round(level * 1000) / 10} %
                          </option>
                        ))}
                    </Select>
                  </td>
                  <td className="w-40">
                    <Input
                      className={COMPACT}
                      aria-label={`Slice ${about}`}
                      required
                      value={criterion.slice}
                      onChange={(event) => change(index, { slice: event.target.value })}
                    />
                  </td>
                  <td className="w-36">
                    <Select
                      className={COMPACT}
                      aria-label={`Severity ${about}`}
                      value={criterion.severity}
                      onChange={(event) =>
                        change(index, { severity: event.target.value as Criterion["severity"] })
                      }
                    >
                      <option value="required">the run fails</option>
                      <option value="advisory">it is noted</option>
                    </Select>
                  </td>
                  <td className="w-8">
                    <Button
                      look="quiet"
                      size="iconSmall"
                      aria-label={`Remove criterion ${index + 1}, ${info.label}`}
                      onClick={() => onChange(value.filter((_, position) => position !== index))}
                    >
                      <Trash2 />
                    </Button>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {value.length === 0 && (
        <p className="py-2 text-ink-soft">Without a criterion no run can end with a verdict.</p>
      )}
      <div className="mt-2 flex gap-2">
        <Button size="small" onClick={() => onChange([...value, defaultCriterion(unused)])}>
          <Plus aria-hidden />
          Add criterion
        </Button>
        <Button size="small" look="quiet" onClick={() => onChange(defaultCriteria())}>
          <RotateCcw aria-hidden />
          Defaults
        </Button>
      </div>
    </div>
  );
}
