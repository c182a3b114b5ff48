// Screens that few people open. Their code is not part of the first load.
import type { ComponentType } from "preact"
import { useFetched } from "./context"
import { Loading, Trouble } from "./parts"

/** A component whose code is fetched when it is first shown. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  return function Later(props: P) {
    const { value: Loaded, problem } = useFetched(load, [])
    if (Loaded) return <Loaded {...props} />
    // The page may be older than the server, which then does not have the page's files. Reloading gets the
    // new ones.
    return problem ? <Trouble problem={problem} retry={() => location.reload()} /> : <Loading />
  }
}
