// Which screen is shown is in the address, and nowhere else. All screens are below /console.
import { useEffect, useState } from "preact/hooks"

const base = "/console"
const changed = "duebell:navigated"

/** The path of a screen, without the base: /tasks/1. */
export function here(): string {
  const path = location.pathname.startsWith(base) ? location.pathname.slice(base.length) : ""
  return path === "" || path === "/" ? "/inbox" : path
}

/** The address of a screen, for links. */
export const to = (path: string) => base + path

/** Goes to a screen. */
export function go(path: string) {
  history.pushState(null, "", to(path))
  dispatchEvent(new Event(changed))
}

/** Follows the address: links within the console, back and forward. */
export function usePath(): string {
  const [path, setPath] = useState(here)
  useEffect(() => {
    const follow = () => setPath(here())
    const click = (e: MouseEvent) => {
      if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return
      const link = (e.target as Element).closest("a")
      if (!link || link.target || link.hash || link.origin !== location.origin || !link.pathname.startsWith(base + "/")) return
      e.preventDefault()
      go(link.pathname.slice(base.length))
    }
    addEventListener("popstate", follow)
    addEventListener(changed, follow)
    document.addEventListener("click", click)
    return () => {
      removeEventListener("popstate", follow)
      removeEventListener(changed, follow)
      document.removeEventListener("click", click)
    }
  }, [])
  return path
}
