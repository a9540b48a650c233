import { cva, type VariantProps } from "class-variance-authority";
import type { ComponentProps } from "react";
import { cn } from "@/lib/cn";

const variants = cva(
  "inline-flex items-center gap-1 whitespace-nowrap rounded px-1.5 py-px font-medium text-[12.5px] [&_svg]:size-3.5",
  {
    variants: {
      tone: {
        neutral: "bg-sunken text-ink-soft",
        accent: "bg-accent-wash text-accent",
        pass: "bg-pass-wash text-pass",
        fail: "bg-fail-wash text-fail",
        unsure: "bg-unsure-wash text-unsure",
      },
    },
    defaultVariants: { tone: "neutral" },
  },
);

export type Tone = NonNullable<VariantProps<typeof variants>["tone"]>;

export function Badge({ tone, className, ...props }: ComponentProps<"span"> & { tone?: Tone }) {
  return <span className={cn(variants({ tone }), className)} {...props} />;
}
