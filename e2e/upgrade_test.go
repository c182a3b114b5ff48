package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"testing"
	"time"

	dapr "github.com/dapr/go-sdk/client"
	"github.com/google/uuid"
	"github.com/pressly/goose/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/store/migrate"
	"github.com/duebell/duebell/shared/task"
)

// oldestSchema is that of the oldest release from which an upgrade is supported: testdata has
// rows as they were then.
const oldestSchema = 1

// The functions of now take over a database of the oldest supported schema, with reminders that
// are armed and messages that are still to be sent, and the jobs that Dapr holds since then.
// Everything is told, once.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	own := startOwn(t, func(o *system.Options) {
		o.NoSchedules = true // what is told, the jobs have brought
		o.Migrate = func(ctx context.Context, url string) error {
			if err := restoreOldest(ctx, url); err != nil {
				return err
			}
			_, err := migrate.Up(ctx, url)
			return err
		}
	})
	p := newPerson(t, own)
	told := func(inbox, mails int) {
		t.Helper()
		p.eventually(soon, fmt.Sprintf("%d in the inbox and %d e-mails", inbox, mails), func() bool { return len(p.inbox()) == inbox && p.mails() == mails })
	}
	told(2, 0) // what was told before is still there

	// The callback of an old job fires its reminder, and wakes send, which finds the e-mail of before as well.
	oldJob(p, held, time.Now())
	told(3, 2)

	p.exec(`update reminders set fire_at = now() - interval '1 min' where id = '` + lost.ReminderID.String() + `'`) // as time would
	if err := own.Invoke(t.Context(), "retry-dlq"); err != nil {
		t.Fatal(err)
	}
	told(4, 3)

	oldJob(p, moved, time.Now().Add(24*time.Hour))
	ask[api.Task](p, "PATCH", "/api/tasks/"+moved.TaskID.String(), map[string]any{"due_date": time.Now().Add(2 * time.Second)})
	told(5, 4)
	if left, err := openJobs(t, own).Holds(t.Context(), oldName(moved)); err != nil || left {
		t.Errorf("the old job of the moved reminder is left with Dapr: %v, %v", left, err)
	}
	p.quiet(3 * time.Second)
	for _, task := range ask[struct{ Tasks []api.Task }](p, "GET", "/api/tasks", nil).Tasks {
		if len(task.Reminders) != 1 || task.Reminders[0].State != "fired" {
			t.Errorf("%s: %+v", task.Title, task.Reminders)
		}
	}
}

// old is a reminder of testdata, by its place there.
func old(place, revision int) task.Revision {
	id := func(kind int) uuid.UUID {
		return uuid.MustParse(fmt.Sprintf("01990000-0000-7000-8000-0000000000%d%d", kind, place))
	}
	return task.Revision{TaskID: id(0), UserID: "testupgrade", ReminderID: id(1), Number: int64(revision)}
}

var held, lost, moved = old(3, 2), old(4, 1), old(5, 1)

// restoreOldest brings an empty database to the oldest supported schema, with rows.
func restoreOldest(ctx context.Context, url string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("../shared/store/migrate"))
	if err != nil {
		return err
	}
	if _, err := provider.UpTo(ctx, oldestSchema); err != nil {
		return err
	}
	rows, err := os.ReadFile(fmt.Sprintf("testdata/schema-%d.sql", oldestSchema))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, string(rows))
	return err
}

func oldName(r task.Revision) string { return fmt.Sprintf("reminder-%s-%d", r.ReminderID, r.Number) }

// oldJob has Dapr hold the job of a reminder as the functions of the oldest supported schema
// made it: name and data are written out here, so that no change of today's can touch them.
func oldJob(p person, r task.Revision, at time.Time) {
	p.Helper()
	env := p.sys.Environment()
	conn, err := grpc.NewClient(env["DAPR_GRPC_ENDPOINT"], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(p.Context(), "dapr-api-token", env["DAPR_API_TOKEN"])
	due, retries, interval := at.UTC().Format(time.RFC3339Nano), uint32(60), 2*time.Second
	err = dapr.NewClientWithConnection(conn).ScheduleJob(ctx, &dapr.Job{
		Name:    oldName(r),
		DueTime: &due,
		Data: &anypb.Any{Value: fmt.Appendf(nil, `{"task_id":%q,"user_id":%q,"reminder_id":%q,"revision":%d}`,
			r.TaskID, r.UserID, r.ReminderID, r.Number)},
		FailurePolicy: &dapr.JobFailurePolicyConstant{MaxRetries: &retries, Interval: &interval},
	})
	if err != nil {
		p.Fatal(err)
	}
}
