// The console's service worker: it shows reminders that come by Web Push, whether or not a page is
// open. It caches nothing and stands in no request's way. What comes is described in
// docs/channels.md#web-push; where the message has links, "actions" is a list of {"action",
// "title", "url"}: a button each, whose url is posted to.

addEventListener("install", () => skipWaiting()) // the newest one counts at once
addEventListener("push", (event) => event.waitUntil(show(event.data)))
addEventListener("notificationclick", (event) => event.waitUntil(clicked(event.notification, event.action)))

/** Shows a message. A browser wants something to be shown for each, so one that can't be read is shown as well. */
function show(data) {
  let message = {}
  try {
    message = data.json()
  } catch {
    // it is none of ours
  }
  const actions = message.actions ?? []
  return registration.showNotification(message.title ?? "Duebell", {
    body: message.body,
    lang: message.language,
    dir: "auto",
    tag: message.delivery_id, // a message that comes twice is shown once
    actions: actions.map(({ action, title }) => ({ action, title })),
    data: { task: message.task_id, actions },
  })
}

/** Does what a button says, without opening a page if that works; a click elsewhere opens the task. */
async function clicked(notification, action) {
  notification.close()
  const { task, actions } = notification.data
  const chosen = actions.find((a) => a.action === action)
  if (chosen && (await posted(chosen.url))) return
  await open(task ? "/tasks/" + encodeURIComponent(task) : "/inbox")
}

async function posted(url) {
  try {
    return (await fetch(url, { method: "POST", credentials: "omit" })).ok
  } catch {
    return false
  }
}

/** Shows a screen: in a page that is open, without reloading it, or else in a new one. */
async function open(path) {
  const pages = await clients.matchAll({ type: "window", includeUncontrolled: true })
  const page = pages.find((p) => new URL(p.url).pathname.startsWith("/console/"))
  if (!page) return clients.openWindow("/console" + path)
  page.postMessage({ open: path })
  return page.focus()
}
