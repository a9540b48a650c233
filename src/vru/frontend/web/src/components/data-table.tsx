import {
  type ColumnDef,
  createSortedRowModel,
  type RowData,
  rowSortingFeature,
  sortFn_alphanumeric,
  sortFn_text,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { ArrowDown, ArrowUp } from "lucide-react";
import { cn } from "@/lib/cn";

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { alphanumeric: sortFn_alphanumeric, text: sortFn_text },
});

// biome-ignore lint/suspicious/noExplicitAny: columns of one table differ in the type of their values.
export type Column<T extends RowData> = ColumnDef<typeof features, T, any>;

interface DataTableProps<T extends RowData> {
  caption: string;
  columns: Column<T>[];
  data: readonly T[];
  rowId: (row: T) => string;
  /** Ids of columns that are aligned right. */
  numeric?: readonly string[];
  onRowClick?: (row: T) => void;
  isActive?: (row: T) => boolean;
  compact?: boolean;
}

/** A table whose columns sort on a click. Rows keep the order they came in until then. */
export function DataTable<T extends RowData>({
  caption,
  columns,
  data,
  rowId,
  numeric = [],
  onRowClick,
  isActive,
  compact,
}: DataTableProps<T>) {
  const table = useTable({
    features,
    columns,
    data: data as T[],
    getRowId: rowId,
    enableSortingRemoval: true,
  });
  const cell = cn("px-3 text-left first:pl-4 last:pr-4", compact ? "py-1" : "py-2");
  return (
    <div className="relative overflow-x-auto">
      <table className="w-full border-collapse">
        <caption className="sr-only">{caption}</caption>
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id} className="border-line border-b">
              {group.headers.map((header) => {
                const sorted = header.column.getIsSorted();
                const right = numeric.includes(header.column.id);
                const content = <table.FlexRender header={header} />;
                return (
                  <th
                    key={header.id}
                    scope="col"
                    aria-sort={sorted ? (sorted === "asc" ? "ascending" : "descending") : undefined}
                    className={cn(
                      cell,
                      "py-1.5 font-medium text-[12.5px] text-ink-faint",
                      right && "text-right",
                    )}
                  >
                    {header.column.getCanSort() ? (
                      <button
                        type="button"
                        onClick={header.column.getToggleSortingHandler()}
                        className={cn(
                          "inline-flex items-center gap-1 whitespace-nowrap hover:text-ink",
                          right && "flex-row-reverse",
                        )}
                      >
                        {content}
                        {sorted === "asc" && <ArrowUp aria-hidden className="size-3" />}
                        {sorted === "desc" && <ArrowDown aria-hidden className="size-3" />}
                      </button>
                    ) : (
                      content
                    )}
                  </th>
                );
              })}
            </tr>
          ))}
        </thead>
        <tbody>
          {table.getRowModel().rows.map((row) => (
            <tr
              key={row.id}
              onClick={onRowClick && (() => onRowClick(row.original))}
              className={cn(
                "border-line border-b last:border-b-0",
                onRowClick && "cursor-pointer hover:bg-sunken/60",
                isActive?.(row.original) && "bg-accent-wash hover:bg-accent-wash",
              )}
            >
              {row.getAllCells().map((item) => (
                <td key={item.id} className={cn(cell, numeric.includes(item.column.id) && "text-right")}>
                  <table.FlexRender cell={item} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
