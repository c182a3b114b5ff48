package store

// Statements returns the SQL that counts, and the SQL that deletes, the rows of a kind.
func (k Kept) Statements() (selection, deletion string) {
	if k.rest == nil {
		return k.selection("ctid"), k.deletion()
	}
	return k.selection("ctid"), k.selection("id") + ` for update of k skip locked`
}

// Table returns the table of a kind of rows.
func (k Kept) Table() string { return k.table }

// SentinelLock is the advisory lock that SetSentinel holds exclusively.
const SentinelLock = sentinelLock

// OpenIn is the condition for deliveries d of a lane that are not finished.
func OpenIn(l Lane) string { return isOpen + ` and ` + l.in() }

// InboxStatements are the frequent statements of the inbox, by name, with the index that each must
// use. Their parameters are the user $1, the place or notification $2 and the limit $3.
var InboxStatements = map[string]struct{ SQL, Index string }{
	"the inbox":                 {InInbox.page(back), "notifications_inbox"},
	"the inbox, onwards":        {InInbox.page(onwards), "notifications_inbox"},
	"what is unread":            {Unread.page(back), "notifications_unread"},
	"what is unread, onwards":   {Unread.page(onwards), "notifications_unread"},
	"what is archived":          {Archived.page(back), "notifications_archived"},
	"what is archived, onwards": {Archived.page(onwards), "notifications_archived"},
	"mark all as read":          {MarkRead.statement(allUpTo), "notifications_unread"},
	"what came":                 {notificationsAfter, "notifications_user_id_seq_key"},
	"what has changed":          {changesAfter, "notifications_changed"},
}

// SelectCounts reads the counts of the user $1.
const SelectCounts = selectCounts
