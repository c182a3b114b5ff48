package task

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestJobNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Revision{ReminderID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")), Number: rapid.Int64Min(1).Draw(t, "number")}
		if got, ok := ParseJobName(want.JobName()); !ok || got != want {
			t.Errorf("%s is read as %+v, %v", want.JobName(), got, ok)
		}
	})
	id := uuid.NewString()
	for _, name := range []string{
		"", "reminder-", "reminder-" + id, "reminder-" + id + "-", "reminder-" + id + "-x", "reminder-" + id + "-01",
		"reminder-" + id + "_1", "reminder-not-a-uuid-at-all-but-as-long-as-one-1", "sentinel-" + id, "xreminder-" + id + "-1",
	} {
		if _, ok := ParseJobName(name); ok {
			t.Errorf("%q is taken for a reminder's", name)
		}
	}
}
