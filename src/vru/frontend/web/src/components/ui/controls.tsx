import { Progress as RadixProgress, Slider as RadixSlider, Switch as RadixSwitch } from "radix-ui";
import { useId } from "react";
import { cn } from "@/lib/cn";

interface SwitchProps {
  label: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  /** A Tailwind background class: the colour of what the switch shows or hides. */
  swatch?: string;
}

export function Switch({ label, checked, onChange, swatch }: SwitchProps) {
  const id = useId();
  return (
    <span className="inline-flex items-center gap-2">
      <RadixSwitch.Root
        id={id}
        checked={checked}
        onCheckedChange={onChange}
        className={cn(
          "relative h-4.5 w-8 shrink-0 rounded-full bg-line-strong transition-colors",
          checked && (swatch ?? "bg-accent"),
        )}
      >
        <RadixSwitch.Thumb className="block size-3.5 translate-x-0.5 rounded-full bg-white shadow-sm transition-transform data-[state=checked]:translate-x-4" />
      </RadixSwitch.Root>
      <label htmlFor={id}>{label}</label>
    </span>
  );
}

interface SliderProps {
  label: string;
  value: number;
  min: number;
  max: number;
  step: number;
  onChange: (value: number) => void;
  className?: string;
}

export function Slider({ label, value, min, max, step, onChange, className }: SliderProps) {
  return (
    <RadixSlider.Root
      value={[value]}
      min={min}
      max={max}
      step={step}
      onValueChange={([next]) => next !== undefined && onChange(next)}
      className={cn("relative flex h-5 touch-none select-none items-center", className)}
    >
      <RadixSlider.Track className="relative h-1 grow rounded-full bg-line-strong">
        <RadixSlider.Range className="absolute h-full rounded-full bg-accent" />
      </RadixSlider.Track>
      <RadixSlider.Thumb
        aria-label={label}
        className="block size-4 rounded-full border-2 border-accent bg-surface shadow-sm"
      />
    </RadixSlider.Root>
  );
}

/** `value` of `max`; without a value it only says that something is going on. */
export function Progress({ label, value, max }: { label: string; value: number | null; max: number }) {
  const share = value === null || max <= 0 ? null : Math.min(1, value / max);
  return (
    <RadixProgress.Root
      value={share === null ? null : share * 100}
      aria-label={label}
      className="relative h-1.5 w-full overflow-hidden rounded-full bg-line"
    >
      <RadixProgress.Indicator
        className={cn(
          "h-full rounded-full bg-accent transition-[width] duration-300",
          share === null && "w-1/4 animate-pulse",
        )}
        style={share === null ? undefined : { width: `${share * 100}%` }}
      />
    </RadixProgress.Root>
  );
}
