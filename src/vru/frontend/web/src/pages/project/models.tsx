import { useQuery } from "@tanstack/react-query";
import { modelsQuery } from "@/api/queries";
import { Loading } from "@/components/page";
import { ProblemNotice } from "@/components/problem-notice";
import { Badge } from "@/components/ui/badge";
import { Empty, Facts, Panel } from "@/components/ui/panel";
import { humanise } from "@/lib/format";

export function ModelsTab() {
  const { data, error, isPending, refetch } = useQuery(modelsQuery());
  return (
    <>
      <ProblemNotice error={error} onRetry={() => void refetch()} className="mb-4" />
      {isPending && <Loading />}
      {data?.length === 0 && (
        <Panel>
          <Empty title="The model repository is empty">
            Put a model into models/NAME/VERSION on the server, with its model.yaml.
          </Empty>
        </Panel>
      )}
      <div className="grid gap-4 lg:grid-cols-2">
        {data?.map((model) => (
          <Panel
            key={`${model.name}/${model.version}`}
            title={model.name}
            note={`version ${model.version}`}
            actions={<Badge>{model.runtime}</Badge>}
          >
            {model.description && <p className="mb-3 max-w-prose text-ink-soft">{model.description}</p>}
            <Facts
              facts={[
                ["Detects", model.classes.map(humanise).join(", ")],
                ["Source", model.source],
                ["Licence", model.licence],
                [
                  "Digest",
                  <code key="digest" className="break-all font-mono text-[12px]">
                    {model.sha256}
                  </code>,
                ],
                ...Object.entries(model.parameters ?? {}).map(([name, value]): [string, string] => [
                  name,
                  typeof value === "string" ? value : JSON.stringify(value),
                ]),
              ]}
            />
          </Panel>
        ))}
      </div>
    </>
  );
}
