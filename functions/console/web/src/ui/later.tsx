// Screens that few people open, and that the first load is without.
import type { ComponentType } from "preact"
import { useFetched } from "./context"
import { Loading, Trouble } from "./parts"

/** A component whose code is fetched when it is first shown. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  return function Later(props: P) {
    const { value: Loaded, problem } = useFetched(load, [])
    if (Loaded) return <Loaded {...props} />
    // The page may be older than the server: its files are gone then, and another load brings the new ones.
    return problem ? <Trouble problem={problem} retry={() => location.reload()} /> : <Loading />
  }
}
