// Light or dark: as the system says, unless it was chosen for this browser.
export type Theme = "auto" | "light" | "dark"

const key = "duebell.theme"

export function theme(): Theme {
  const kept = localStorage.getItem(key)
  return kept === "light" || kept === "dark" ? kept : "auto"
}

export function setTheme(chosen: Theme) {
  localStorage.setItem(key, chosen)
  document.documentElement.dataset.theme = chosen
}

document.documentElement.dataset.theme = theme()
