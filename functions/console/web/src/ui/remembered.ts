// Switches that are stored in this browser.
import { useState } from "preact/hooks"

/** Returns whether a switch is on, and a function to set it. It is off at first. */
export function useRemembered(key: string): [on: boolean, set: (on: boolean) => void] {
  const [on, setOn] = useState(localStorage.getItem(key) !== null)
  const set = (on: boolean) => {
    if (on) localStorage.setItem(key, "yes")
    else localStorage.removeItem(key)
    setOn(on)
  }
  return [on, set]
}
