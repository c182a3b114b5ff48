import type { ComponentChildren } from "preact"

const icon = (children: ComponentChildren) => () => (
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round">
    {children}
  </svg>
)

export const InboxIcon = icon(<><path d="M4 5h16v14H4z" /><path d="M4 13h4l1.5 3h5L16 13h4" /></>)
export const TasksIcon = icon(<><path d="M9 6h11M9 12h11M9 18h11" /><path d="m3.5 6 1 1 2-2M3.5 12l1 1 2-2M3.5 18l1 1 2-2" /></>)
export const PreferencesIcon = icon(<><path d="M4 7h10M18 7h2M4 17h2M10 17h10" /><circle cx="16" cy="7" r="2" /><circle cx="8" cy="17" r="2" /></>)
export const OperatorsIcon = icon(<path d="M3 12h4l3-7 4 14 3-7h4" />)
export const BellIcon = icon(<><path d="M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15z" /><path d="M10 21h4" /></>)
export const CheckIcon = icon(<path d="m5 12.5 4.5 4.5L19 7.5" />)
export const ClockIcon = icon(<><circle cx="12" cy="12" r="8" /><path d="M12 7.5V12l3 2" /></>)
export const EyeIcon = icon(<><path d="M3 12s3.5-6 9-6 9 6 9 6-3.5 6-9 6-9-6-9-6z" /><circle cx="12" cy="12" r="2.5" /></>)
export const ArchiveIcon = icon(<><path d="M4 5h16v4H4zM5.5 9v10h13V9" /><path d="M10 13h4" /></>)
export const BackIcon = icon(<><path d="M9 7 4.5 11.5 9 16" /><path d="M5 11.5h9a5 5 0 0 1 0 10h-2" /></>)
