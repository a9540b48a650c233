import { Link, type LinkProps } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";

interface Crumb {
  label: string;
  link?: LinkProps;
}

interface PageProps {
  title: string;
  crumbs?: Crumb[];
  badges?: ReactNode;
  actions?: ReactNode;
  intro?: ReactNode;
  children: ReactNode;
}

/** The frame of a page: where it is, what it is called, what can be done. */
export function Page({ title, crumbs = [], badges, actions, intro, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} – VRU Platform`;
  }, [title]);
  return (
    <div className="mx-auto w-full max-w-[1500px] px-4 pt-5 pb-16 sm:px-6">
      {crumbs.length > 0 && (
        <nav aria-label="Breadcrumb" className="mb-1 text-[13px] text-ink-faint">
          <ol className="flex flex-wrap gap-x-1.5">
            {crumbs.map((crumb, index) => (
              <li key={crumb.label} className="flex gap-x-1.5">
                {crumb.link ? (
                  <Link
                    {...crumb.link}
                    className="max-w-96 truncate hover:text-ink hover:underline"
                    title={crumb.label}
                  >
                    {crumb.label}
                  </Link>
                ) : (
                  <span className="max-w-96 truncate" title={crumb.label}>
                    {crumb.label}
                  </span>
                )}
                {index < crumbs.length - 1 && <span aria-hidden>/</span>}
              </li>
            ))}
          </ol>
        </nav>
      )}
      <div className="mb-5 flex flex-wrap items-center justify-between gap-x-6 gap-y-3">
        <div className="min-w-0">
          <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
            <h1 className="min-w-0 text-[22px] [overflow-wrap:anywhere] leading-tight tracking-[-0.015em]">
              {title}
            </h1>
            {badges}
          </div>
          {intro && <div className="mt-1 max-w-3xl text-ink-soft">{intro}</div>}
        </div>
        {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </div>
      {children}
    </div>
  );
}

/** Stands where data are on their way; says so to screen readers. */
export function Loading({ label = "Loading" }: { label?: string }) {
  return (
    <div role="status" className="flex flex-col gap-2 p-4" aria-label={label}>
      <div className="h-3 w-1/3 animate-pulse rounded bg-line" />
      <div className="h-3 w-1/2 animate-pulse rounded bg-line" />
      <div className="h-3 w-2/5 animate-pulse rounded bg-line" />
    </div>
  );
}
