package store

// Statements returns the SQL that counts and that deletes rows of a kind.
func (k Kept) Statements() (selection, deletion string) {
	if k.rest == nil {
		return k.selection("ctid"), k.deletion()
	}
	return k.selection("ctid"), k.selection("id") + ` for update of k skip locked`
}

// Table is where a kind of rows is kept.
func (k Kept) Table() string { return k.table }

// SentinelLock is held alone by who records another sentinel.
const SentinelLock = sentinelLock

// OpenIn is the condition for the deliveries d of a lane that still want something done.
func OpenIn(l Lane) string { return isOpen + ` and ` + l.in() }

// InboxStatements are those that are asked for often, by what they do, and the index that each
// is to take, for the user $1, the place or notification $2 and the limit $3.
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

// SelectCounts gives the counts of the user $1.
const SelectCounts = selectCounts
