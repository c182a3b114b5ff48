// Every text of the console in English. The other languages have the same shape.
import type { Problem, Timeline, TimelineEvent } from "../api/client"

const plural = new Intl.PluralRules("en")
const count = (n: number, one: string, other: string) => `${n} ${plural.select(n) === "one" ? one : other}`

type ReminderKind = Timeline["reminders"][number]["kind"]
type JobState = NonNullable<Timeline["reminders"][number]["job"]>["state"]

export const en = {
  name: "English",
  nav: { label: "Screens", inbox: "Inbox", tasks: "Tasks", preferences: "Preferences", operators: "Operators" },
  skip: "Skip to content",
  theme: { label: "Colours", auto: "As the system", light: "Light", dark: "Dark" },
  language: "Language",
  signOut: "Sign out",
  signedInAs: (name: string) => `Signed in as ${name}`,
  welcome: {
    title: "Told at the exact moment.",
    text: "Give a task a due date, and Duebell tells you then: here, and on the channels that you choose.",
    signIn: "Sign in",
    failed: "The sign-in has failed:",
    loading: "Signing in …",
    away: "The console can't reach the sign-in.",
  },
  notFound: { title: "Nothing here", text: "There is no screen at this address.", back: "To the inbox" },
  problem: (p: Problem) => (p.status === 0 ? "Duebell can't be reached. Check your connection, and try again." : p.message),
  retry: "Try again",
  loading: "Loading …",
  more: "Show more",
  save: "Save",
  saved: "Saved",
  cancel: "Cancel",
  close: "Close",
  remove: "Remove",
  add: "Add",
  channels: {
    in_app: "Inbox", email: "E-mail", push: "Push", sms: "Text message", webhook: "Webhook", event: "Event",
  },
  inbox: {
    title: "Inbox",
    unread: (n: number) => `${n} unread`,
    all: "All",
    onlyUnread: "Unread",
    empty: "Nothing yet",
    emptyText: "When a task is due, its reminder appears here at that moment. You need not reload.",
    noneUnread: "All read",
    noneUnreadText: "Nothing waits for you.",
    newTask: "Add a task",
    markRead: "Mark as read",
    isUnread: "unread",
    openTask: "Open the task",
    arrived: (title: string) => `New: ${title}`,
    push: {
      switchOn: "Notify me in this browser",
      switchOff: "Switch off here",
      on: "This browser notifies you, also while no page is open.",
      blocked: "This browser blocks notifications of this page. Allow them in its settings.",
    },
    live: { connecting: "Connecting …", open: "Live", waiting: "Reconnecting …", offline: "Offline" },
    liveText: {
      connecting: "", open: "New reminders appear by themselves.",
      waiting: "The connection is lost. What comes meanwhile appears as soon as it is back.",
      offline: "You are offline. What comes meanwhile appears when you are back.",
    },
    markUnread: "Mark as unread",
    readAll: "Mark all as read",
    archived: "Archived",
    noneArchived: "Nothing archived",
    noneArchivedText: "What you take out of the inbox is kept here.",
    act: { done: "Done", snooze: "Snooze", acknowledge: "Acknowledge", archive: "Archive", back: "Back to the inbox" },
    kind: { snooze: "Snoozed before", repeat: "Repeated" },
    done: "Done",
    doneUntil: (next: string) => `Done. The next one: ${next}`,
    acknowledged: "Acknowledged",
    archivedNow: "Archived",
    backNow: "Back in the inbox",
    undo: "Undo",
    undone: "Undone",
    snoozedUntil: (at: string) => `Snoozed until ${at}`,
    snooze: {
      title: "Snooze until",
      preset: { soon: "In 10 minutes", hour: "In an hour", evening: "This evening", tomorrow: "Tomorrow morning", week: "Next week" },
      at: "Another time",
      action: "Snooze",
      notLater: "Choose a time later than now.",
    },
    keys: {
      title: "Keyboard shortcuts",
      on: "Use these keys",
      list: [
        ["j k", "Next notification, the one before"], ["Enter", "Open its task"], ["d", "Done: complete the task"], ["s", "Snooze"], ["a", "Acknowledge"],
        ["e", "Archive"], ["r", "Mark as read or unread"], ["z", "Undo"], ["?", "Show these keys"],
      ] as [string, string][],
    },
    install: "On an iPhone or iPad: choose Share, then Add to Home Screen, and open Duebell from there to be notified.",
    first: { try: "Try it: “Stretch”, in a minute", task: "Stretch", next: "Next:" },
  },
  tasks: {
    title: "Tasks",
    new: "New task",
    filters: "Filters",
    state: { label: "State", open: "Open", completed: "Completed", all: "All" },
    due: { label: "Due", any: "Any time", overdue: "Overdue", today: "Today", week: "Next 7 days" },
    search: "Search",
    order: { label: "Order", newest: "Newest first", oldest: "Oldest first", due: "Due first", dueLast: "Due last" },
    empty: "No tasks",
    emptyText: "Add one above: it is told at its due date.",
    emptyFiltered: "No task fits these filters.",
    noDue: "no due date",
    overdue: "overdue",
    complete: (title: string) => `Complete “${title}”`,
    reopen: (title: string) => `Reopen “${title}”`,
    reminders: (n: number) => count(n, "reminder", "reminders"),
    created: "Task added",
    field: {
      title: "Title", titleHint: "What do you want to be told?", notes: "Notes", due: "Due", zone: (zone: string) => `Times are in ${zone}.`,
      reminders: "Remind me", channels: "Channels", byPreferences: "As in my preferences", chosen: "Only on these", more: "More",
      addReminder: "Another reminder", completed: "Completed",
    },
    conflict: "This task was changed elsewhere. The newest is shown now.",
    preset: { soon: "In 10 minutes", hour: "In an hour", tomorrow: "Tomorrow, 9:00" },
    before: {
      "0s": "at the due time", "5m": "5 minutes before", "10m": "10 minutes before", "30m": "30 minutes before",
      "1h": "1 hour before", "2h": "2 hours before", "24h": "24 hours before", "168h": "7 days before",
    } as Record<string, string>,
    beforeOther: (offset: string) => `${offset} before`,
    noReminders: "Nobody is told: there is no reminder.",
    needsDue: "Without a due date nobody is told.",
  },
  task: {
    back: "All tasks",
    delete: "Delete",
    deleteTitle: "Delete this task?",
    deleteText: "Its reminders are cancelled. It can't be undone.",
    deleted: "Task deleted",
    gone: "This task does not exist, or was deleted.",
    conflict: "This task was changed elsewhere since you opened it. Nothing of yours was saved.",
    takeTheirs: "Show the newest",
    keepMine: "Save mine all the same",
    reminders: "Reminders",
    kind: { snooze: "Snoozed", repeat: "Repeated" },
    state: { pending: "waits to be scheduled", scheduled: "scheduled", fired: "told", cancelled: "cancelled", missed: "missed: it was too old" },
    attempts: (n: number) => count(n, "attempt", "attempts"),
    changedBefore: "Last changed:",
  },
  timeline: {
    title: "Timeline",
    now: "Now",
    nothingAhead: "Nothing is to come.",
    more: "Only the latest 100 deliveries and occurrences are shown.",
    job: {
      with_dapr: "Dapr holds its job:", later: "It is kept in the database until it is given to Dapr as a job:",
      late: "Dapr has not confirmed its job. If it never does, the sweep of every minute tells it all the same:",
    },
    nextOccurrence: (when: string) => `Next: ${when}`,
    occurrence: (when: string) => `of ${when}`,
    late: (time: string) => `${time} after its instant`,
    removed: "a reminder that the task no longer has",
    moment(e: TimelineEvent, kind: ReminderKind, past: boolean, job?: JobState): string {
      switch (e.kind) {
        case "created": return "Task created"
        case "changed": return e.state === "completed" ? "Task last changed: it is completed" : "Task last changed"
        case "due": return past ? "Was due" : "Due"
        case "scheduled": return job === undefined || job === "with_dapr" ? "Job given to Dapr" : "Job offered to Dapr, which has not confirmed it"
        case "upcoming":
          if (past) return "Should have fired; the sweep fires it if nobody else does"
          return { due: "Reminder fires", snooze: "Snooze ends", repeat: "Reminder is repeated" }[kind]
        case "missed": return "Reminder missed: its instant had passed for too long when it was asked for"
        case "fired": return { due: "Reminder fired", snooze: "Snooze ended, and told once more", repeat: "Reminder repeated" }[kind]
        case "occurrence":
          return { told: "Occurrence told", missed: "Occurrence missed: a later one had passed, too, when somebody could be told", completed: "Occurrence completed", skipped: "Occurrence skipped" }[e.state ?? ""] ?? e.text
        default: return e.text
      }
    },
    inInbox: "in the inbox",
    state: {
      planned: "waits", held: "held", bundled: "in a bundle", sending: "being sent", sent: "sent", failed: "refused", exhausted: "given up", cancelled: "cancelled",
      unknown: "unclear", unverified: "address not verified", suppressed: "address wants no more", refused: "over a limit", bounced: "came back",
    } as Record<string, string>,
    reason: {
      quiet_hours: "quiet hours", hourly_limit: "the limit of messages in an hour", bundled: "the gathering of a bundle",
      replaced: "a newer reminder of this task goes to the same address", completed: "the task, or this occurrence, was completed first", skipped: "this occurrence was skipped first",
      deleted: "the task was deleted first", moved: "the due date or the reminders were changed first", acknowledged: "it was acknowledged first", snoozed: "it was snoozed first",
      unrepeated: "the task is not repeated any more", discarded: "an operator has discarded it",
    } as Record<string, string>,
    /** What has happened to a delivery, or is to. until is when it goes on, "" if that is unknown or at once. */
    step(e: TimelineEvent, until: string): string {
      const provider = e.provider || "its provider"
      const reason = e.reason ? (en.timeline.reason[e.reason] ?? e.reason) : ""
      const together = e.bundle_reminders && e.bundle_reminders > 1 ? `, ${e.bundle_reminders} reminders in one message` : ""
      switch (e.kind) {
        case "sent": return e.channel === "in_app" ? "Put into the inbox" : `Taken by ${provider} at attempt ${e.attempt}${together}`
        case "tried":
          if (e.state === "unknown") return `Attempt ${e.attempt}: nobody can say whether ${provider} has taken it`
          if (e.until && !until) return `Attempt ${e.attempt}: not taken by ${provider}; the next provider has its turn`
          return `Attempt ${e.attempt}: not taken by ${provider}${until && `; next attempt at ${until}`}`
        case "held":
          if (e.state === "held") return `Held by ${reason}${until && ` until ${until}`}`
          if (e.reason === "bundled") return e.attempt ? `In a bundle that is being sent${together}` : `Waits until then for other reminders, to go out as one message${together && ` (so far${together.slice(1)})`}`
          return `Held until then by ${reason}${together}`
        case "replayed": return "Replayed by an operator: its attempts begin anew"
        case "waiting":
          if (e.state === "sending") return `Being sent: attempt ${e.attempt} with ${provider}. It is tried again if nothing is heard by then`
          if (e.state === "unknown") return `May have been taken by ${provider}. It is tried again with the same idempotency key`
          return e.error ? "Next attempt" : "Waits to be sent"
        case "ended":
          switch (e.state) {
            case "failed": return e.attempt ? `Refused for good by ${provider}` : "Could not be sent"
            case "exhausted": return `Given up after attempt ${e.attempt}: a dead letter now`
            case "suppressed": return "Not sent: its address gets nothing any more"
            case "unverified": return "Not sent: the owner of the address has not agreed"
            case "refused": return "Not sent: it is over a limit, or its number gets no text messages"
            default: return `Cancelled: ${reason || "the task was completed, changed or deleted first, or an operator has let go of it"}`
          }
        case "reported": return `${provider} reports: ${{ delivered: "delivered", bounced: "came back", complained: "its reader calls it spam" }[e.state ?? ""] ?? e.state}`
        case "read": return "Read"
        case "archived": return "Archived"
        case "acknowledged": return "Acknowledged"
        default: return e.text
      }
    },
  },
  preferences: {
    title: "Preferences",
    autosave: "Changes are saved at once.",
    conflict: "Your preferences were changed elsewhere. The newest are shown now; make your change again.",
    channels: "Channels",
    channelsText: "Where reminders go, unless a task says otherwise.",
    hint: {
      in_app: "On this page, and in every app that shows your notifications.", email: "To your e-mail addresses.",
      push: "To your devices.", sms: "To your phone numbers.", webhook: "To a program of yours.",
    },
    test: {
      send: "Send a test",
      sending: "Sending …",
      state: {
        planned: "on its way", sending: "on its way", sent: "sent", failed: "not sent", exhausted: "not sent", cancelled: "not sent",
        unknown: "no answer yet", unverified: "address not verified", suppressed: "address wants no more", refused: "over a limit",
      },
    },
    emails: "E-mail addresses",
    phones: "Phone numbers",
    signInEmail: (address: string) => `None: e-mails go to ${address}, the address of your sign-in.`,
    noEmails: "None. Your sign-in has no verified address, so no e-mails are sent.",
    noPhones: "None.",
    newEmail: "New e-mail address",
    newPhone: "New phone number, with its country: +49 …",
    state: { verified: "verified", unverified: "not verified", suppressed: "wants no more" },
    verifyText: "A message with a link and a code is on its way there. Reminders go there after one of them was used.",
    suppressedText: (since: string) => `Nothing is sent there since ${since}: its owner has said stop, or messages came back. Only its owner can undo that.`,
    code: "Code, six digits",
    verify: "Verify",
    verified: (address: string) => `${address} is verified`,
    resend: "Send another code",
    resent: (address: string) => `Another message is on its way to ${address}`,
    webhook: "Webhook",
    webhookText: "Reminders are posted to this address, signed as Standard Webhooks say.",
    url: "Address",
    secret: "Secret",
    secretHint: "whsec_ and the base64 of 24 to 64 bytes. It is never shown again. Left empty, the one on record stays.",
    devices: "Devices",
    noDevices: "None. Apps add the devices that they run on, and browsers are added in the inbox.",
    browser: "Browser",
    place: "Time and language",
    zone: "Time zone",
    zoneText: "Times are shown in it, here and in messages.",
    zoneDiffers: (mine: string, theirs: string) => `This device is in ${theirs}, and your reminders show times of ${mine}.`,
    takeZone: (zone: string) => `Use ${zone}`,
    keepZone: "Leave it",
    messages: "Language of this page and of messages",
    removeTitle: (what: string) => `Remove ${what}?`,
    removeText: "Nothing is sent there any more.",
    quiet: {
      title: "Quiet hours",
      text: "In them nothing is sent but what is urgent. It comes when they end. The inbox on this page is never quiet.",
      none: "None: messages come at any time of day.",
      add: "Add quiet hours",
      addAnother: "Add more",
      window: (n: number, from: string, to: string) => `Quiet hours ${n}: from ${from} to ${to}`,
      from: "From",
      to: "To",
      days: "Begin on",
      nextDay: (at: string) => `They end at ${at} on the next day.`,
      noLength: "Quiet hours can't end when they begin.",
    },
    bundle: {
      title: "Fewer messages",
      text: "What falls due within this time of the first reminder goes as one message. What is urgent goes at once.",
      length: { "": "One for each", "1m": "1 minute", "5m": "5 minutes", "15m": "15 minutes", "30m": "30 minutes", "1h": "1 hour", "3h": "3 hours" } as Record<string, string>,
    },
    tasks: {
      title: "Tasks",
      remindersText: "For tasks that name no reminders of their own, such as imported ones.",
      allDay: "Tasks of a whole day are due at",
      allDayText: "On that day, where you are.",
    },
  },
  health: {
    title: "Health",
    well: "All is well.",
    unwell: (n: number) => `${count(n, "thing needs", "things need")} you:`,
    manual: "What to do",
    fine: "fine",
    look: "look here",
    waiting: "Oldest waiting",
    nothing: "nothing waits",
    waitsFor: { firing: "for its reminder to fire", hosts: "for webhooks and Web Push", providers: "for providers", events: "for events" },
    lateness: "Lateness, the last hour",
    lateHint: (n: number) => `half / 99 % of ${count(n, "reminder", "reminders")}`,
    noneFired: "none has fired",
    sweep: "Last sweep",
    never: "never",
    cleanup: (when: string) => `cleanup ${when}`,
    dapr: { present: "has its jobs", made: "has its jobs", lost: "has lost its jobs", unknown: "could not be asked" },
    pending: (n: number) => `${count(n, "reminder", "reminders")} not taken`,
    database: "Database",
    answers: (time: string) => `answers in ${time}`,
    deadLetters: "Dead letters",
    retrying: (n: number) => `${n} being tried again`,
    providers: "Providers in the last hour",
    provider: "Provider",
    sent: "Sent",
    failed: "Failed",
    latestError: "Latest error",
    notSetUp: "not set up any more",
    versions: (duebell: string, schema: number, zones: string, database: string) => `Duebell ${duebell}, schema ${schema}, time zones ${zones}, Postgres ${database}`,
    finding: {
      firing: (time: string) => `Reminders wait to fire, the oldest for ${time}. Look whether the sweep runs, and Dapr and trigger-reminder.`,
      hosts: (time: string) => `Webhooks or Web Push wait, the oldest for ${time}. If it is a few users' hosts, nothing is to be done; if it is many, send can't reach the Internet.`,
      providers: (time: string) => `Messages wait for their providers, the oldest for ${time}. Look whether send is there, and what the providers answer.`,
      events: (time: string) => `Events wait to be published, the oldest for ${time}. Look at the broker.`,
      late: (time: string) => `One reminder of a hundred was told ${time} late or more in the last hour. If only the sweep tells them, Dapr or trigger-reminder is the trouble.`,
      neverSwept: "No sweep has ended yet. Something has to invoke retry-dlq every minute.",
      notSwept: (when: string) => `The last sweep ended ${when}; there is to be one every minute. Look whether retry-dlq is invoked, and starts.`,
      sweepFailed: (steps: string) => `Steps of the last sweep went wrong: ${steps}. Its log says why.`,
      sweepCutShort: "The last sweep was cut short: it has too much to do. Run more sweeps, or raise SWEEP_CONCURRENCY.",
      cleanupFailed: (steps: string) => `Steps of the last cleanup went wrong: ${steps}. Nobody is told late because of that; its log says why.`,
      notCleaned: (when: string) => `The last cleanup ended ${when}; there is to be one each night. Look whether nightly-cleanup is invoked.`,
      daprLost: "Dapr's scheduler has lost its data. Sweeps schedule everything again; nothing is to be done for the reminders. Find out why.",
      daprUnknown: "Dapr could not be asked. Reminders are told by the sweep, up to 65 s late. Look whether daprd is up.",
      daprRefuses: (n: number) => `Dapr has not taken ${count(n, "reminder", "reminders")}. They are told by the sweep, up to 65 s late. Look whether daprd reaches the scheduler.`,
      database: (time: string) => `The database takes ${time} to answer. Look at its load, and at its connections.`,
      dead: (n: number) => `${count(n, "dead letter waits", "dead letters wait")} for you, below: mend the cause, then replay or discard.`,
      provider: (name: string, failed: number, all: number) => `${name} has refused ${failed} of ${all} in the last hour. Its latest error is below; 401 and 403 mean that the key is wrong.`,
    },
  },
  operators: {
    title: "Operators",
    forbidden: "This is for operators: your sign-in lacks their scope.",
    readAgain: "Read again",
    deadLetters: "Dead letters",
    deadLettersText: "Deliveries that failed, and malformed callbacks.",
    state: { all: "All", retrying: "retrying", dead: "dead", resolved: "resolved", discarded: "discarded" },
    stateLabel: "State",
    none: "No dead letters",
    allWell: "Everything has arrived, or is still being tried.",
    noneText: "None is like this. Other filters may show some.",
    verification: "Verification of an address",
    bundle: "Bundle",
    malformed: "A callback that made no sense",
    details: "Attempts and details",
    firstFailed: "First failed",
    noTries: "No attempt is recorded.",
    taskOf: (user: string) => `Task of ${user}`,
    job: "Job",
    data: "Data",
    replay: "Replay",
    replayTitle: "Replay this delivery?",
    replayText: "It becomes due now, and is sent within a minute. Its user gets the message, however late it is.",
    replayed: "It is due now",
    force: "Send it all the same",
    forceTitle: "Send it all the same?",
    since: { label: "First failed", any: "Any time", hour: "The last hour", day: "The last 24 hours", week: "The last 7 days", between: "Between …" },
    from: "From",
    until: "Until",
    replayMany: "Replay all of these",
    replayManyTitle: (n: number) => `Replay ${count(n, "dead letter", "dead letters")}?`,
    replayManyText: "They become due from now on, 50 in each second. Their users get the messages, however late they are. A bundle is one message. What nobody wants any more is left out.",
    replayManyMore: (n: number) => `There are more than ${n}: these are the oldest. Replay the others afterwards.`,
    manyReplayed: (n: number) => `${count(n, "delivery is", "deliveries are")} due now, one after the other`,
    noneToReplay: "None of these can be replayed.",
    discard: "Discard",
    discardTitle: "Discard this dead letter?",
    discardText: "It is not tried again, and its message never arrives.",
    discarded: "Discarded",
    analytics: "Fired reminders",
    analyticsText: "By day, in UTC. Deliveries by channel, and how late they were planned.",
    range: { label: "Days", "7": "7", "30": "30", "90": "90" },
    noAnalytics: "No reminder has fired in these days.",
    byChannel: "Deliveries by channel",
    byLateness: "Deliveries by lateness",
    asTable: "As a table",
    chartLabel: (title: string, from: string, to: string) => `${title}, ${from} to ${to}. The table has the same figures.`,
    day: "Day",
    reminders: "Reminders",
    total: "Reminders",
    onTime: "Planned within 1 s",
    deliveries: "Deliveries",
    lateness: {
      under_1s: "under 1 s", under_10s: "under 10 s", under_1m: "under 1 min", under_10m: "under 10 min", over_10m: "over 10 min", unknown: "unknown",
    },
    channel: "Channel",
    lookUp: "Look up a user",
    lookUpText: "Tasks, preferences and what was sent, as the user has them. You can change nothing. Each look is recorded, with your id.",
    userId: "User id",
    show: "Show",
    user: (id: string) => `User ${id}`,
    reading: "You read as an operator. Addresses are masked, nothing can be changed, and this look is recorded with your id.",
    noPreferences: "This user has no preferences of their own. Is the id right?",
    preferences: "Preferences",
    field: { zone: "Time zone", language: "Language", channels: "Channels", emails: "E-mail addresses", phones: "Phone numbers", devices: "Devices", webhook: "Webhook", quiet: "Quiet hours", bundle: "Bundles" },
    noneOf: "none",
    noTasks: "This user has no tasks.",
    completed: "completed",
    sentLog: "What was sent",
    noDeliveries: "Nothing was sent yet.",
    when: "When",
    target: "To",
    attemptsColumn: "Attempts",
    note: "Note",
  },
}

export type Texts = typeof en
