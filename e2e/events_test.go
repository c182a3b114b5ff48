package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/api"
)

// number returns the number that a query on the system's database returns, with the person's name
// as $1.
func (p person) number(sql string) (n int) {
	p.Helper()
	c, err := pgx.Connect(context.Background(), p.sys.Environment()["DATABASE_URL"])
	if err != nil {
		p.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(context.Background(), sql, p.name).Scan(&n); err != nil {
		p.Fatal(err)
	}
	return n
}

// recorded counts the person's reminders in the audit log.
func (p person) recorded() int {
	return p.number(`select count(*) from audit_events where user_id = $1`)
}

// counted counts the person's reminders in analytics.
func (p person) counted() int {
	return p.number(`select count(*) from counted_events c join deliveries d on d.id = c.event_id where d.user_id = $1`)
}

// heard waits until both subscribers have that many of the person's reminders, each once, and none
// of the person's deliveries is unsent.
func (p person) heard(within time.Duration, times int) {
	p.Helper()
	p.eventually(within, fmt.Sprintf("%d events heard by both subscribers", times), func() bool {
		return p.recorded() >= times && p.counted() >= times
	})
	if p.recorded() != times || p.counted() != times {
		p.Errorf("%d recorded and %d counted, want %d each", p.recorded(), p.counted(), times)
	}
	if n := p.number(`select count(*) from deliveries where user_id = $1 and channel = 'event' and state <> 'sent'`); n != 0 {
		p.Errorf("%d events are not marked as sent", n)
	}
	if n := p.number(`select count(distinct reminder_id) from deliveries d join audit_events e on e.event_id = d.id where d.user_id = $1`); n != times {
		p.Errorf("the audit log has %d reminders, want %d", n, times)
	}
}

// counts returns the sums of GET /api/analytics.
func counts(p person) (reminders int64, byChannel map[string]int64) {
	p.Helper()
	admin := p
	admin.token = p.sys.Environment()["DUEBELL_ADMIN_TOKEN"]
	answer := ask[struct {
		Days []struct {
			Reminders  int64
			Deliveries []struct {
				Channel, Lateness string
				Count             int64
			}
		}
	}](admin, "GET", "/api/analytics", nil)
	byChannel = map[string]int64{}
	for _, d := range answer.Days {
		reminders += d.Reminders
		for _, n := range d.Deliveries {
			byChannel[n.Channel] += n.Count
		}
	}
	return reminders, byChannel
}

// A fired reminder is an event, which reaches both subscribers once through Dapr's Kafka component,
// whatever is away or dies meanwhile.
func TestEvents(t *testing.T) {
	t.Parallel()
	own := startOwn(t, asItIs)
	on := func(test func(person)) func(*testing.T) {
		return func(t *testing.T) { test(newPerson(t, own)) }
	}
	t.Run("heard", on(heardOnce))
	t.Run("foreign", on(foreignEvents))
	t.Run("alerts", on(alerts))
	t.Run("broker", on(brokerAway))
	for what, names := range map[string][]string{
		"subscribers": {"audit-log", "analytics"}, "their-daprds": {"daprd-audit-log", "daprd-analytics"}, "daprd": {"daprd"}, "postgres": {"postgres"},
	} {
		t.Run(what, on(func(p person) { dieWhileEventsCome(p, names) }))
	}
}

// heardOnce shows that the system's first event reaches both subscribers once.
func heardOnce(p person) {
	var last api.Task
	for range 5 {
		last = p.create(2 * time.Second)
	}
	p.told(soon, 5)
	p.heard(soon, 5)
	log := ask[struct {
		Deliveries []struct{ Channel, Target, State string }
	}](p, "GET", "/api/tasks/"+last.ID.String()+"/deliveries", nil).Deliveries
	if len(log) != 3 || log[2].Channel != "event" || log[2].State != "sent" || log[2].Target != "" {
		p.Errorf("the delivery log is %+v", log)
	}
	p.quiet(3 * time.Second)
	p.heard(0, 5)
	if reminders, byChannel := counts(p); reminders != 5 || byChannel["in_app"] != 5 || byChannel["email"] != 5 || len(byChannel) != 2 {
		p.Errorf("analytics has counted %d reminders, %v", reminders, byChannel)
	}
	if status, body := p.call("GET", "/api/analytics", nil); status != 403 {
		p.Errorf("a user sees the counts: %d %s", status, body)
	}
}

// Malformed messages on the topic are dropped, even if they are no CloudEvents, and do not block
// later ones.
func foreignEvents(p person) {
	publish(p.T, p.sys, map[string]string{"hello": "world"})
	kafka, err := kgo.NewClient(kgo.SeedBrokers(p.sys.Broker().Address()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		p.Fatal(err)
	}
	defer kafka.Close()
	for partition := range int32(4) { // all there are
		if err := kafka.ProduceSync(p.Context(), &kgo.Record{Topic: "task-reminders", Partition: partition, Value: []byte("no JSON")}).FirstErr(); err != nil {
			p.Fatal(err)
		}
	}
	p.create(time.Second)
	p.create(time.Second)
	p.heard(soon, 2)
}

// A dead letter is published as an event on the operators' topic, by the same component.
func alerts(p person) {
	if status, body := p.call("POST", "/job/x", "{", "dapr-api-token", p.sys.Environment()["APP_API_TOKEN"]); status != 200 {
		p.Fatalf("%d %s", status, body)
	}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(p.sys.Broker().Address()), kgo.ConsumeTopics("reminder-alerts"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		p.Fatal(err)
	}
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(p.Context(), soon)
	defer cancel()
	records := kafka.PollFetches(ctx).Records()
	if len(records) != 1 {
		p.Fatalf("%d alerts came", len(records))
	}
	var alert struct {
		ID   string
		Data struct{ ID, State, Error string }
	}
	if err := json.Unmarshal(records[0].Value, &alert); err != nil {
		p.Fatal(err)
	}
	if alert.Data.ID != alert.ID || alert.Data.State != "dead" {
		p.Errorf("%s", records[0].Value)
	}
	p.eventually(soon, "the alert is recorded", func() bool {
		return p.number(`select count(*) from dead_letters where id = '`+alert.ID+`' and alerted_at is not null and $1 <> ''`) == 1
	})
}

// The broker is away while reminders fall due. The user is told in time, and when the broker is
// back the events arrive, none lost and none twice.
func brokerAway(p person) {
	p.sys.Broker().Stop()
	stopped := time.Now()
	for i := range 5 {
		p.create(time.Second + time.Duration(i)*time.Second)
	}
	p.told(soon, 5)
	worst := worstLateness(p)
	time.Sleep(time.Until(stopped.Add(*outage))) // how long it is away is what the promise is about
	if p.recorded() != 0 {
		p.Fatal("events came from a broker that was away: the test shows nothing")
	}
	if err := p.sys.Broker().Start(); err != nil {
		p.Fatal(err)
	}
	back(p.T, p.sys)
	ended := time.Now()
	p.heard(2*time.Minute, 5)
	p.Logf("in the inbox %v late at most; the last event was heard %v after the broker was back", worst.Round(time.Millisecond), time.Since(ended).Round(time.Millisecond))
	p.quiet(3 * time.Second)
	p.heard(0, 5)
}

// dieWhileEventsCome kills parts while events are delivered.
func dieWhileEventsCome(p person, names []string) {
	const reminders = 30
	for i := range reminders {
		p.create(2*time.Second + time.Duration(i)*50*time.Millisecond)
	}
	p.eventually(soon, "the first are told", func() bool { return len(p.inbox()) > 3 })
	for _, name := range names {
		p.sys.Process(name).Kill()
	}
	back(p.T, p.sys)
	p.heard(2*time.Minute, reminders)
	// An e-mail may be later than its event: Dapr or the sweep wakes send.
	p.eventually(2*time.Minute, "all are told", func() bool { return len(p.inbox()) >= reminders && p.mails() >= reminders })
	p.quiet(3 * time.Second)
	p.heard(0, reminders)
}

// The broker is away when daprd starts: daprd runs without the component, reminders fire, and
// within a minute of the broker's return daprd has the component.
func TestBrokerAwayWhenDaprdStarts(t *testing.T) {
	t.Parallel()
	own := startOwn(t, asItIs)
	p := newPerson(t, own)
	own.Broker().Stop()
	for _, name := range []string{"daprd", "daprd-audit-log", "daprd-analytics"} {
		if err := own.Process(name).Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	back(t, own)
	p.create(2 * time.Second)
	p.told(soon, 1)
	if err := own.Broker().Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.heard(3*time.Minute, 1)
	t.Logf("heard %v after the broker was back", time.Since(began).Round(time.Second))
}

// publish publishes an event directly.
func publish(t *testing.T, s *system.System, data any) {
	t.Helper()
	if err := openJobs(t, s).Publish(t.Context(), "task-reminders", uuid.NewString(), data); err != nil {
		t.Fatal(err)
	}
}
