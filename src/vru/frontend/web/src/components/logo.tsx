/** A walking figure in the corners of a bounding box. */
export function Logo({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" fill="none" stroke="currentColor" className={className} aria-hidden="true">
      <path d="M4 10V4h6M22 4h6v6M28 22v6h-6M10 28H4v-6" strokeWidth="3" />
      <circle cx="16" cy="10.5" r="3" fill="currentColor" stroke="none" />
      <path
        d="M16 15v5m0 0-3.500 5M16 20l3.500 5M11 17l5-1.500 5 1.500"
        strokeWidth="2.400"
        strokeLinecap="round"
      />
    </svg>
  );
}
