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
