package link_test

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/link"
	"github.com/duebell/duebell/shared/unsubscribe"
	"github.com/duebell/duebell/shared/verify"
	"github.com/duebell/duebell/shared/wallclock"
)

const (
	first  = "first-key-of-at-least-32-characters"
	second = "second-key-of-at-least-32-characters"
)

var (
	task, reminder = uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	now            = time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC)
	morning        = wallclock.New(2026, 12, 1, 9, 0, 0)
)

func keys(list ...config.Secret) link.Keys { return link.Keys{Keys: list} }

func once(p link.Purpose) link.Link {
	return link.Link{Purpose: p, ReminderID: reminder, Revision: 1}
}

func TestTokenSaysAll(t *testing.T) {
	epoch, early := wallclock.New(1970, 1, 1, 0, 0, 0), wallclock.New(1960, 2, 29, 23, 59, 59)
	seen := map[string]bool{}
	for _, l := range []link.Link{
		once(link.Done), once(link.Snooze), once(link.Any),
		{Purpose: link.Done, ReminderID: reminder, Revision: 2},
		{Purpose: link.Done, ReminderID: reminder, Revision: 1, Series: 1, Occurrence: &morning},
		{Purpose: link.Done, ReminderID: reminder, Revision: 1, Series: 1, Occurrence: &epoch},
		{Purpose: link.Done, ReminderID: reminder, Revision: 1, Series: 1, Occurrence: &early},
		{Purpose: link.Acknowledge, ReminderID: uuid.Max, Revision: math.MaxInt64, Series: math.MaxInt64, Occurrence: &morning},
	} {
		token := keys(first).Token(l, "ada", task, now)
		got, ok := keys(first).Open(token)
		l.Expires = time.Date(2026, 12, 31, 10, 0, 0, 0, time.UTC)
		if diff := cmp.Diff(l, got, cmpopts.IgnoreUnexported(link.Link{})); !ok || diff != "" {
			t.Errorf("%v %s", ok, diff)
		}
		if seen[token] || strings.Contains(token, "ada") || len(token) > 86 {
			t.Errorf("the token is %s", token)
		}
		seen[token] = true
	}
	if n := len(keys(first).Token(once(link.Any), strings.Repeat("long", 60), task, now)); n != 58 {
		t.Errorf("one for a text message has %d characters", n)
	}
}

// A link is for one task of one user.
func TestIsOf(t *testing.T) {
	l, _ := keys(first).Open(keys(first).Token(once(link.Done), "ada", task, now))
	for what, c := range map[string]struct {
		user string
		task uuid.UUID
		want bool
	}{"itself": {"ada", task, true}, "another user": {"eve", task, false}, "nobody": {"", task, false}, "another task": {"ada", reminder, false}} {
		if got := keys(second, first).IsOf(l, c.user, c.task); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
	if keys(second).IsOf(l, "ada", task) || keys(first).IsOf(link.Link{}, "ada", task) {
		t.Error("it is of whatever is asked")
	}
}

func TestPurposes(t *testing.T) {
	for _, c := range []struct {
		of, action link.Purpose
		want       bool
	}{
		{link.Done, link.Done, true},
		{link.Done, link.Snooze, false},
		{link.Snooze, link.Snooze, true},
		{link.Snooze, link.Done, false},
		{link.Acknowledge, link.Acknowledge, true},
		{link.Acknowledge, link.Done, false},
		{link.Any, link.Done, true},
		{link.Any, link.Snooze, true},
		{link.Any, link.Acknowledge, true},
		{0, link.Done, false},
		{link.Any, 0, false},
		{link.Done, link.Any, false},
	} {
		if got := c.of.May(c.action); got != c.want {
			t.Errorf("%d may do %d: %v", c.of, c.action, got)
		}
	}
}

// Links of other purposes are not accepted here, and these links not there, even if all keys are
// the same.
func TestOtherLinks(t *testing.T) {
	done := keys(first).Token(once(link.Done), "ada", task, now)
	stops := unsubscribe.Keys{Keys: []config.Secret{first}}
	verifies := verify.Keys{Keys: []config.Secret{first}}
	if _, _, ok := stops.Open(done); ok {
		t.Error("Done unsubscribes")
	}
	if _, _, ok := verifies.Open(done); ok {
		t.Error("Done verifies an address")
	}
	for _, token := range []string{stops.Token("ada", "a@b.c"), stops.Token("ada", "ada@example.com"), verifies.Token(task, make([]byte, 16))} {
		if _, ok := keys(first).Open(token); ok {
			t.Errorf("%s is Done", token)
		}
	}
}

func TestRotation(t *testing.T) {
	old, mixed, new := keys(first), keys(second, first), keys(second)
	token := old.Token(once(link.Done), "ada", task, now)
	for what, c := range map[string]struct {
		keys link.Keys
		want bool
	}{"before": {old, true}, "during": {mixed, true}, "after": {new, false}, "no key": {keys(), false}} {
		l, ok := c.keys.Open(token)
		if ok != c.want || c.keys.IsOf(l, "ada", task) != c.want {
			t.Errorf("%s: %v", what, ok)
		}
	}
	if _, ok := new.Open(mixed.Token(once(link.Done), "ada", task, now)); !ok {
		t.Error("the first key does not sign")
	}
}

// Every bit of a token is checked, and each token has one spelling only.
func TestTamperedTokens(t *testing.T) {
	token := keys(first).Token(link.Link{Purpose: link.Done, ReminderID: reminder, Revision: 1, Series: 1, Occurrence: &morning}, "ada", task, now)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			changed := append([]byte{}, raw...)
			changed[i] ^= 1 << bit
			if _, ok := keys(first).Open(base64.RawURLEncoding.EncodeToString(changed)); ok {
				t.Errorf("bit %d of byte %d does not count", bit, i)
			}
		}
	}
	for _, other := range []string{
		"", " ", token + "A", token + "=", token + "\n", "\r\n" + token, token[1:], token[:len(token)-1], token[:16], strings.ToUpper(token),
		token + token, strings.Repeat("A", 58), strings.Repeat("A", 10_000), "%", "\x00", "done",
	} {
		if _, ok := keys(first).Open(other); ok {
			t.Errorf("%.60q is taken", other)
		}
	}
}

func TestURL(t *testing.T) {
	links := link.Links{PublicURL: "https://api.example.com/duebell/", Keys: keys(first)}
	token, ok := strings.CutPrefix(links.URL(once(link.Done), "ada", task, now), "https://api.example.com/duebell/m/")
	if _, opens := keys(first).Open(token); !ok || !opens {
		t.Errorf("%q does not open", token)
	}
	for _, none := range []link.Links{{}, {PublicURL: "https://api.example.com"}, {Keys: keys(first)}} {
		if got := none.URL(once(link.Done), "ada", task, now); got != "" {
			t.Errorf("%+v makes %q", none, got)
		}
	}
}

func TestConfig(t *testing.T) {
	for environ, want := range map[string]string{
		"": "", "LINK_KEY=" + first: "", "LINK_KEY=" + second + "," + first: "",
		"LINK_KEY=short": "at least 32", "LINK_KEY=" + first + ",": "at least 32", "LINK_KEY=" + first + "," + first + "," + first: "one key, or two",
	} {
		_, err := config.Parse[link.Keys]([]string{environ})
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), first)) {
			t.Errorf("%s: %v", environ, err)
		}
	}
}

// A token is read as it was written, and another key does not accept it.
func FuzzToken(f *testing.F) {
	f.Add("ada", int64(1), int64(0), int64(0), false)
	f.Add("", int64(3), int64(2), int64(-1), true)
	f.Fuzz(func(t *testing.T, user string, revision, series, seconds int64, recurs bool) {
		l := link.Link{Purpose: link.Done, ReminderID: reminder, Revision: revision, Series: series}
		if recurs {
			local := wallclock.FromUTC(time.Unix(seconds, 0))
			l.Occurrence = &local
		}
		token := keys(first).Token(l, user, task, now)
		got, ok := keys(second, first).Open(token)
		l.Expires = got.Expires
		if diff := cmp.Diff(l, got, cmpopts.IgnoreUnexported(link.Link{})); !ok || diff != "" || !keys(first).IsOf(got, user, task) {
			t.Errorf("%v %s", ok, diff)
		}
		if _, ok := keys(second).Open(token); ok {
			t.Error("another key takes it")
		}
	})
}
