package events

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

const whole = `{"data":{"task_id":"0197a3c2-7f00-7000-8000-000000000002","user_id":"ada","task_title":"Pay rent","due_date":"2026-11-23T15:30:00+01:00","later":1},
	"id":"0197a3c2-7f00-7000-8000-000000000001","specversion":"1.0"}`

func wrap(message string) string {
	return `{"id":"0197a3c2-7f00-7000-8000-000000000009","data_base64":"` + base64.StdEncoding.EncodeToString([]byte(message)) + `"}`
}

// one reads what was brought by itself.
func one(t *testing.T, body string) (Event, error) {
	t.Helper()
	events, bulk, err := read(strings.NewReader(body))
	if err != nil || bulk || len(events) != 1 {
		t.Fatalf("%+v, in bulk %v, %v", events, bulk, err)
	}
	return events[0].event, events[0].err
}

// bulk is how daprd brings several messages; rawPayload is in the Subscription.
func bulk(messages ...string) string {
	var list []string
	for i, m := range messages {
		list = append(list, fmt.Sprintf(`{"entryId":"%d","event":%q,"metadata":{"__offset":"7"},"contentType":"application/octet-stream"}`,
			i, base64.StdEncoding.EncodeToString([]byte(m))))
	}
	return enveloped(list...)
}

func enveloped(entries ...string) string {
	return `{"entries":[` + strings.Join(entries, ",") + `],"id":"x","metadata":{"pubsubName":"kafka-pubsub"},"pubsubname":"kafka-pubsub","topic":"task-reminders","type":"com.dapr.event.sent.bulk"}`
}

// An event is read as it was published, and from what daprd wraps around it: then its
// ID is its own, and not that of the wrapping, which is another one each time.
func TestParse(t *testing.T) {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	want := Event{uuid.MustParse("0197a3c2-7f00-7000-8000-000000000001"), Reminder{
		TaskID: uuid.MustParse("0197a3c2-7f00-7000-8000-000000000002"), UserID: "ada", TaskTitle: "Pay rent", DueDate: &due,
	}}
	for _, body := range []string{whole, wrap(whole)} {
		got, err := one(t, body)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	undated := strings.Replace(whole, `"2026-11-23T15:30:00+01:00"`, "null", 1)
	if got, err := one(t, wrap(undated)); err != nil || got.DueDate != nil {
		t.Errorf("without a due date: %+v, %v", got, err)
	}
	for what, body := range map[string]string{
		"wrapped twice": wrap(wrap(whole)), "an empty wrapping": wrap(""), "a wrapping of no base64": `{"id":"0197a3c2-7f00-7000-8000-000000000009","data_base64":"?"}`,
	} {
		if got, err := one(t, body); err == nil {
			t.Errorf("%s is read as %+v", what, got)
		}
	}
}

// A bulk is read event by event: one that makes no sense stands for itself, as large or as
// deep as it is.
func TestReadBulk(t *testing.T) {
	deep := strings.Repeat("[", 100_000)
	large := strings.Repeat("x", 1<<20)
	events, isBulk, err := read(strings.NewReader(enveloped(
		`{"entryId":"a","event":"`+base64.StdEncoding.EncodeToString([]byte(whole))+`"}`, `{"entryId":"b","event":`+whole+`}`,
		`{"event":"?","entryId":"c"}`, `{"entryId":"d"}`, `{"entryId":"e","event":null}`, `{"entryId":"f","event":[]}`, `{"entryId":"g","event":"`+large+`"}`,
		`{"entryId":"h","event":"`+base64.StdEncoding.EncodeToString([]byte(deep))+`"}`, `{"entryId":"i","event":"`+base64.StdEncoding.EncodeToString([]byte(bulk(whole)))+`"}`,
		`{"entryId":"j","event":"`+base64.StdEncoding.EncodeToString([]byte(wrap(whole)))+`"}`, `{"entryId":"k","event":`+whole+`}`,
	)))
	if err != nil || !isBulk {
		t.Fatal(isBulk, err)
	}
	var taken string
	for i, e := range events {
		if e.entry != string(rune('a'+i)) {
			t.Errorf("entry %d is %q", i, e.entry)
		}
		if e.err == nil {
			taken += e.entry
			if e.event.TaskTitle != "Pay rent" {
				t.Errorf("%+v", e)
			}
		}
	}
	if len(events) != 11 || taken != "abk" {
		t.Errorf("%d events, of which %q make sense", len(events), taken)
	}
	if events, isBulk, err := read(strings.NewReader(bulk())); err != nil || !isBulk || len(events) != 0 {
		t.Errorf("an empty bulk: %v %v %v", events, isBulk, err)
	}
	// As many of the largest messages that a broker takes as a Subscription may ask for.
	garbage := bulk(strings.Repeat("x", 1<<20))
	garbage = garbage[strings.Index(garbage, "[")+1 : strings.LastIndex(garbage, "]")]
	whole := bulk(whole)
	parts := []io.Reader{strings.NewReader(whole[:strings.LastIndex(whole, "]")])}
	for range 200 {
		parts = append(parts, strings.NewReader(","+garbage))
	}
	parts = append(parts, strings.NewReader(whole[strings.LastIndex(whole, "]"):]))
	if events, _, err := read(io.MultiReader(parts...)); err != nil || len(events) != 201 || events[0].err != nil || events[200].err == nil {
		t.Errorf("200 MB of garbage: %d events, %v", len(events), err)
	}
}

// A bulk that can't be answered event by event is refused, so that it comes again; and a
// body without an end is not read for ever.
func TestBulkThatIsNone(t *testing.T) {
	good := bulk(whole, whole)
	for what, c := range map[string]struct{ body, want string }{
		"broken off in an entry": {good[:len(good)/2], "unexpected EOF"}, "broken off behind them": {good[:len(good)-3], "unexpected EOF"},
		"more than one":         {good + good, "invalid character"},
		"an entry that is none": {enveloped("1"), "can't be read"},
		"an id that is none":    {enveloped(`{"entryId":1,"event":""}`), "can't be read"},
		"a million entries":     {enveloped(strings.Repeat("{},", 1_000_000) + "{}"), "maxMessagesCount"},
		"an entry without end":  {enveloped(`{"entryId":"0","event":"` + strings.Repeat("x", 10<<20) + `"}`), "too large"},
		"deep":                  {enveloped(`{"entryId":"0","event":` + strings.Repeat("[", 1_000_000)), "can't be read"},
		"an entry named twice":  {enveloped(`{"entryId":"0","entryId":"1"}`), "duplicate"},
		"much behind them":      {good[:len(good)-1] + `,"more":"` + strings.Repeat("x", 10<<20) + `"}`, "too large"},
		"a second list of them": {good[:len(good)-1] + `,"entries":[]}`, "duplicate"},
	} {
		events, isBulk, err := read(strings.NewReader(c.body))
		if err == nil || !isBulk || events != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d events, %v, %v", what, len(events), isBulk, err)
		}
	}
	for what, body := range map[string]string{
		"no list": `{"entries":"x"}`, "null": `{"entries":null}`, "deep": strings.Repeat("[", 1_000_000), "large": `{"entries":{"x":"` + strings.Repeat("x", 10<<20) + `"}}`,
		"more": `{"id":"` + strings.Repeat("x", 10<<20),
	} {
		if got, err := one(t, body); err == nil {
			t.Errorf("%s is read as %+v", what, got)
		}
	}
	if _, _, err := read(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(good)))); !strings.Contains(fmt.Sprint(err), "broke off") {
		t.Errorf("a connection that breaks: %v", err)
	}
}

// Whatever comes, what is taken for an event can be stored.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{whole, wrap(whole), wrap("no JSON"), "", "[]", `{"data":null}`, strings.Replace(whole, "Pay rent", `\u0000`, 1), bulk(whole, "no JSON"), enveloped(`{"entryId":"0","event":` + whole + `}`)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		events, _, err := read(bytes.NewReader(body))
		if err != nil {
			return
		}
		for _, b := range events {
			e := b.event
			if b.err != nil {
				continue
			}
			for _, text := range []string{e.UserID, e.TaskTitle} {
				if text == "" || strings.ContainsRune(text, 0) || !utf8.ValidString(text) || utf8.RuneCountInString(text) > 500 {
					t.Errorf("%q can't be stored", text)
				}
			}
			if e.ID == uuid.Nil || e.TaskID == uuid.Nil || e.DueDate != nil && (e.DueDate.UTC().Year() < 1970 || e.DueDate.UTC().Year() > 9999) {
				t.Errorf("%+v can't be stored", e)
			}
		}
	})
}
