package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/verify"
)

const (
	verifyPath = path + "/verify"
	resendPath = verifyPath + "/resend"
	publicURL  = "https://api.example.com"
)

var verifyKeys = verify.Keys{Keys: []config.Secret{"a-key-for-codes-of-at-least-32-characters"}}

// owners are the owners of all addresses, with the messages that they have received.
type owners struct {
	*functiontest.World
	*functiontest.Server
	sender *deliver.Sender
	firer  *fire.Firer
	db     *pgx.Conn

	mu   sync.Mutex
	sent []notify.Message
	fail error // what the provider answers
}

// Send implements deliver.Channel.
func (o *owners) Send(_ context.Context, m notify.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, m)
	return o.fail
}

func newOwners(t *testing.T, environ ...string) *owners {
	o := &owners{World: functiontest.New(t)}
	o.Server = functiontest.Serve(o.World, New, append([]string{"UNSUBSCRIBE_KEY=" + key, "SUPPRESSION_KEY=" + key, "VERIFY_KEY=" + verifyKeys.Keys[0].Reveal()}, environ...)...)
	var err error
	if o.db, err = pgx.Connect(context.Background(), o.DatabaseURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.db.Close(context.Background()) })
	channels := deliver.Channels{task.Email: {{Name: "sendgrid", Channel: o}}, task.SMS: {{Name: "twilio", Channel: o}}}
	rules := deliver.Rules{SendTimeout: time.Second, Lease: 10 * time.Second, MaxAttempts: 3, Concurrent: 8, PerUser: 8, Suppression: suppressionKeys}
	o.sender = deliver.NewSender(o.Store, channels, rules, verify.Links{PublicURL: publicURL, Keys: verifyKeys})
	o.firer = fire.New(o.Store, fire.Channels(channels.Names()), suppressionKeys, schedule.NewMover(o.Store, time.Now, schedule.MoveRules{PastGrace: 24 * time.Hour}), func() {}, time.Now)
	return o
}

// sendDue sends all due messages, and returns them.
func (o *owners) sendDue() []notify.Message {
	o.mu.Lock()
	before := len(o.sent)
	o.mu.Unlock()
	<-o.sender.Wake()
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sent[before:])
}

// asked sends all due messages, and checks that they are one verification for an address.
func (o *owners) asked(to string) notify.Message {
	o.Helper()
	sent := o.sendDue()
	if len(sent) != 1 || sent[0].To != to || sent[0].Verification == nil {
		o.Fatalf("sent: %+v, want one message that asks the owner of %s", sent, to)
	}
	return sent[0]
}

// add makes an address the only one of a user's preferences.
func (o *owners) add(user, address string) functiontest.Answer {
	o.Helper()
	kind := "emails"
	if address[0] == '+' {
		kind = "phones"
	}
	return o.As(user, "PUT", path, map[string]any{kind: []string{address}, "channels": map[string]bool{"email": true, "sms": true, "in_app": false}})
}

func (o *owners) state(user, address string) string {
	o.Helper()
	p := functiontest.Decode[struct {
		Emails, Phones []struct{ Address, State string }
	}](o.World, o.As(user, "GET", path, nil), 200)
	for _, a := range append(p.Emails, p.Phones...) {
		if a.Address == address {
			return a.State
		}
	}
	return ""
}

func (o *owners) enter(user, address, code string) functiontest.Answer {
	o.Helper()
	return o.As(user, "POST", verifyPath, map[string]any{"address": address, "code": code})
}

func (o *owners) resend(user, address string) functiontest.Answer {
	o.Helper()
	return o.As(user, "POST", resendPath, map[string]any{"address": address})
}

// pass moves all times of verifications into the past.
func (o *owners) pass(d time.Duration) {
	o.Helper()
	by := fmt.Sprintf("interval '%d seconds'", int(d.Seconds()))
	if _, err := o.db.Exec(context.Background(), `update verification_messages set counted_at = counted_at - `+by+`;
		update verifications set created_at = created_at - `+by+`, code_until = code_until - `+by+`, link_until = link_until - `+by); err != nil {
		o.Fatal(err)
	}
}

// click posts to a link, like the button on its page.
func (o *owners) click(link, form string) functiontest.Answer {
	o.Helper()
	return o.Call("POST", strings.TrimPrefix(link, publicURL), form, "Content-Type", "application/x-www-form-urlencoded")
}

// wrong returns a code that is not the message's.
func wrong(m notify.Message) string {
	n, _ := strconv.Atoi(m.Verification.Code)
	return fmt.Sprintf("%06d", (n+1)%1_000_000)
}

func TestVerifyByCode(t *testing.T) {
	for _, address := range []string{"Grace@Example.org", "+15551234567"} {
		o := newOwners(t)
		if a := o.add("ada", address); a.Status != 200 || !strings.Contains(a.Body, `{"address":"`+address+`","state":"unverified"}`) {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		m := o.asked(address)
		if !sixDigits.MatchString(m.Verification.Code) || m.Title != "" || m.Notes != "" {
			t.Errorf("%+v", m)
		}
		// Adding the same address again, however it is written, sends nothing.
		o.add("ada", address)
		o.add("ada", strings.ToLower(address))
		o.add("ada", address)
		if sent := o.sendDue(); len(sent) != 0 {
			t.Errorf("asked again: %v", sent)
		}
		for left := 4; left > 1; left-- {
			o.WantProblem(o.enter("ada", address, wrong(m)), 400, "invalid", fmt.Sprintf("the code is wrong: %d tries are left", left))
		}
		for _, code := range []string{"", "12345", "1234567", "12345a", "١٢٣٤٥٦", " " + m.Verification.Code[1:]} {
			o.WantProblem(o.enter("ada", address, code), 400, "invalid", "six digits")
		}
		if got := o.state("ada", address); got != "unverified" {
			t.Error(got)
		}
		for range 2 { // a second time it stays
			if a := o.enter("ada", strings.ToUpper(address), m.Verification.Code); a.Status != 200 || a.Body != `{"address":"`+address+`","state":"verified"}`+"\n" {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}
		if got := o.state("ada", address); got != "verified" {
			t.Error(got)
		}
		if a := o.resend("ada", address); a.Status != 200 || len(o.sendDue()) != 0 {
			t.Errorf("a verified one: %d %s", a.Status, a.Body)
		}
		// The address stays verified through changes, until it is removed.
		o.add("ada", strings.ToUpper(address))
		if got := o.state("ada", strings.ToUpper(address)); got != "verified" {
			t.Errorf("written in another way: %q", got)
		}
		o.As("ada", "PUT", path, `{}`)
		o.add("ada", address)
		if got := o.state("ada", address); got != "unverified" {
			t.Errorf("taken out and added: %q", got)
		}
		// The verification is for this user only.
		o.add("eve", address)
		if got := o.state("eve", address); got != "unverified" {
			t.Errorf("of another user: %q", got)
		}
	}
}

func TestCodesEnd(t *testing.T) {
	o := newOwners(t)
	const address = "grace@example.org"
	o.WantProblem(o.enter("ada", address, "123456"), 404, "not_found", "PUT /api/preferences")
	o.WantProblem(o.resend("ada", address), 404, "not_found", "PUT /api/preferences")
	o.add("ada", address)
	first := o.asked(address)
	for range 4 {
		o.enter("ada", address, wrong(first))
	}
	o.WantProblem(o.enter("ada", address, wrong(first)), 400, "invalid", "no try is left")
	o.WantProblem(o.enter("ada", address, first.Verification.Code), 400, "invalid", "no try is left")

	if a := o.resend("ada", address); a.Status != 202 || !strings.Contains(a.Body, "unverified") {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	second := o.asked(address)
	o.pass(10*time.Minute + time.Second)
	o.WantProblem(o.enter("ada", address, second.Verification.Code), 400, "invalid", "expired")
	wantPage(t, o.Call("GET", strings.TrimPrefix(second.Verification.Link, publicURL), nil), "has expired", `name="again"`)
	wantPage(t, o.click(second.Verification.Link, ""), "has expired")
	o.resend("ada", address)
	third := o.asked(address)
	o.WantProblem(o.enter("ada", address, second.Verification.Code), 400, "invalid", "4 tries")
	if a := o.enter("ada", address, third.Verification.Code); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	// A code is for the user whose address it verifies.
	o.add("eve", address)
	o.WantProblem(o.enter("eve", address, third.Verification.Code), 400, "invalid", "no code was sent")
}

// A code can't be computed from the database alone.
func TestCodesAreNotKept(t *testing.T) {
	o := newOwners(t)
	o.add("ada", "grace@example.org")
	code := o.asked("grace@example.org").Verification.Code
	for _, table := range []string{"verifications", "verification_messages", "deliveries", "preferences"} {
		if n := o.Count(`select count(*) from ` + table + ` x where x::text like '%` + code + `%'`); n != 0 {
			t.Errorf("%s holds the code %s", table, code)
		}
	}
	if n := o.Count(`select count(*) from verification_messages m where m::text like '%grace%' or m::text like '%ada%'`); n != 0 {
		t.Error("what the limits count names somebody")
	}
}

func TestVerifyByLink(t *testing.T) {
	o := newOwners(t)
	const address = "grace@example.org"
	o.add("ada", address)
	link := o.asked(address).Verification.Link
	for range 3 { // looking changes nothing
		wantPage(t, o.Call("GET", strings.TrimPrefix(link, publicURL), nil), "Is this your address?", address, "<button>Confirm</button>")
	}
	if got := o.state("ada", address); got != "unverified" {
		t.Errorf("after GET: %q", got)
	}
	for range 2 {
		wantPage(t, o.click(link, ""), "Confirmed", address)
		if got := o.state("ada", address); got != "verified" {
			t.Errorf("after POST: %q", got)
		}
	}
	o.As("ada", "PUT", path, `{}`)
	wantPageOf(t, 404, o.click(link, ""), "nothing to confirm")
	// After the link has expired, its page sends a new message.
	o.add("ada", address)
	link = o.asked(address).Verification.Link
	o.pass(time.Hour)
	wantPage(t, o.click(link, "again=1"), "on its way", address)
	wantPage(t, o.click(o.asked(address).Verification.Link, ""), "Confirmed")
}

func TestNotMe(t *testing.T) {
	o := newOwners(t)
	const address = "grace@example.org"
	o.add("ada", address)
	v := o.asked(address).Verification
	page := strings.TrimPrefix(v.NotMe, publicURL)
	wantPage(t, o.Call("GET", page, nil), "Not you?", `<form method="post">`)
	if a := o.resend("ada", address); a.Status != 202 {
		t.Fatalf("after GET: %d %s", a.Status, a.Body)
	}
	// A planned message is not sent any more, and no new one is planned for any user.
	wantPage(t, oneClick(o.Server, page), "no more such messages")
	o.add("eve", "Grace+eve@example.org")
	o.WantProblem(o.resend("ada", address), 409, "conflict", "only they can undo")
	o.WantProblem(o.enter("ada", address, v.Code), 409, "conflict", "only they can undo")
	wantPage(t, o.click(v.Link, ""), "You have said that this is not you")
	if sent := o.sendDue(); len(sent) != 0 || o.state("ada", address) != "unverified" {
		t.Errorf("sent after the owner has said no: %v", sent)
	}
	// The owner can request a message again on the same page.
	wantPage(t, o.click(v.NotMe, "again=1"), "on its way")
	again := o.asked(address).Verification
	wantPage(t, o.click(again.Link, ""), "Confirmed")
	// After three messages in a day the limit is reached.
	wantPageOf(t, 400, o.Call("GET", page+"A", nil), "not valid")
	o.WantProblem(o.resend("eve", "Grace+eve@example.org"), 429, "rate_limited", "in a day")
	// If the user has removed the address, its owner can still undo the refusal.
	oneClick(o.Server, page)
	o.As("ada", "PUT", path, `{}`)
	wantPage(t, o.click(v.NotMe, "again=1"), "can be asked")
	if n := o.Count(`select count(*) from verification_refusals`); n != 0 {
		t.Errorf("%d addresses are refused", n)
	}
}

// The database hashes an owner's refusal and the messages to an address with another key than that
// of codes and links. A new key for those changes neither the refusals nor the limits.
func TestTheKeyOfLinksChanges(t *testing.T) {
	o := newOwners(t)
	o.As("ada", "PUT", path, map[string]any{"emails": []string{"grace@example.org", "heidi@example.org"}})
	for _, m := range o.sendDue() {
		if m.To == "grace@example.org" {
			wantPage(t, oneClick(o.Server, strings.TrimPrefix(m.Verification.NotMe, publicURL)), "no more such messages")
		}
	}
	after := functiontest.Serve(o.World, New, "UNSUBSCRIBE_KEY="+key, "SUPPRESSION_KEY="+key, "VERIFY_KEY=another-key-for-codes-of-at-least-32-characters")
	resend := func(address string) functiontest.Answer {
		return after.As("ada", "POST", resendPath, map[string]any{"address": address})
	}
	after.As("ada", "PUT", path, map[string]any{"emails": []string{"grace@example.org", "heidi@example.org"}})
	o.WantProblem(resend("grace@example.org"), 409, "conflict", "only they can undo")
	for range verify.AddressDaily - 1 {
		resend("heidi@example.org")
	}
	o.WantProblem(resend("heidi@example.org"), 429, "rate_limited", "in a day")
}

// "Not me" also ends reminders to an address in grace.
func TestNotMeEndsTheGrace(t *testing.T) {
	o := newOwners(t)
	o.As("ada", "PUT", path, map[string]any{"emails": []string{"Grace@Example.org", "heidi@example.org"}, "channels": map[string]bool{"email": true}})
	var notMe string
	for _, m := range o.sendDue() {
		if m.To == "Grace@Example.org" {
			notMe = m.Verification.NotMe
		}
	}
	o.Exec(`update preferences set grace = emails, grace_until = now() + interval '1 day'`)
	remind := func() (to []string) {
		due := task.Instant(time.Now().Add(-time.Second))
		created := o.Seed("ada", task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore()})
		if _, err := o.firer.Fire(o.Context(), task.Revision{TaskID: created.ID, UserID: "ada", ReminderID: created.Reminders[0].ID, Number: 1}); err != nil {
			t.Fatal(err)
		}
		for _, m := range o.sendDue() {
			to = append(to, m.To)
		}
		slices.Sort(to)
		return to
	}
	if to := remind(); !slices.Equal(to, []string{"Grace@Example.org", "heidi@example.org"}) {
		t.Fatalf("in the grace it goes to %v", to)
	}
	wantPage(t, o.click(notMe, ""), "no more such messages")
	if to := remind(); !slices.Equal(to, []string{"heidi@example.org"}) {
		t.Errorf("after one has said no it goes to %v", to)
	}
}

// "Not me" ends the grace of the address for all users, however each has written it.
func TestNotMeEndsEverybodysGrace(t *testing.T) {
	o := newOwners(t)
	addresses := map[string]string{"ada": "Grace@bücher.example", "eve": "grace@xn--bcher-kva.example", "mallory": "grace+tag@BÜCHER.example"}
	for user, address := range addresses {
		o.As(user, "PUT", path, map[string]any{"emails": []string{address, user + "@x.org"}, "channels": map[string]bool{"email": true}})
	}
	var notMe string
	for _, m := range o.sendDue() {
		if m.UserID == "ada" && !strings.HasSuffix(m.To, "x.org") {
			notMe = m.Verification.NotMe
		}
	}
	o.Exec(`update preferences set grace = emails, grace_until = case user_id when 'eve' then now() + interval '1 day' end`) // mallory's owners are yet to be asked
	wantPage(t, o.click(notMe, ""), "no more such messages")
	due := task.Instant(time.Now().Add(-time.Second))
	var to []string
	for user := range addresses {
		created := o.Seed(user, task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore()})
		if _, err := o.firer.Fire(o.Context(), task.Revision{TaskID: created.ID, UserID: user, ReminderID: created.Reminders[0].ID, Number: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range o.sendDue() {
		to = append(to, m.To)
	}
	slices.Sort(to)
	if want := []string{"ada@x.org", "eve@x.org", "mallory@x.org"}; !slices.Equal(to, want) {
		t.Errorf("after its owner has said no it goes to %v, want %v", to, want)
	}
}

func TestLimits(t *testing.T) {
	o := newOwners(t, "VERIFY_PER_USER=4", "VERIFY_PER_NETWORK=7")
	retry := func(a functiontest.Answer, least, most time.Duration, detail string) {
		t.Helper()
		o.WantProblem(a, 429, "rate_limited", detail)
		if s, _ := strconv.Atoi(a.Header.Get("Retry-After")); time.Duration(s)*time.Second < least || time.Duration(s)*time.Second > most {
			t.Errorf("Retry-After: %s, want %v to %v", a.Header.Get("Retry-After"), least, most)
		}
	}
	o.add("ada", "grace@example.org")
	o.asked("grace@example.org")
	o.pass(time.Hour)
	o.resend("ada", "grace@example.org")
	o.add("eve", "GRACE@example.org")
	retry(o.resend("ada", "grace@example.org"), 22*time.Hour+59*time.Minute, 23*time.Hour, "in a day")
	retry(o.resend("eve", "GRACE@example.org"), 22*time.Hour+59*time.Minute, 23*time.Hour, "in a day")
	// Preferences are stored even if no verification may be sent.
	if a := o.add("zoe", "grace+tag@example.org"); a.Status != 200 || o.state("zoe", "grace+tag@example.org") != "unverified" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if sent := o.sendDue(); len(sent) != 2 {
		t.Errorf("%d more messages, want 2", len(sent))
	}
	// The limit of a user.
	o.As("ada", "PUT", path, `{"emails":["a@x.org","b@x.org","c@x.org"]}`)
	if sent := o.sendDue(); len(sent) != 2 {
		t.Errorf("%d messages, want 2: 4 of one user in all", len(sent))
	}
	o.As("ada", "PUT", path, `{"emails":["d@x.org"]}`)
	retry(o.resend("ada", "d@x.org"), 22*time.Hour, 24*time.Hour, "as a user may")
	// The limit of a network, which a caller can't avoid with X-Forwarded-For.
	for i := range 4 {
		user := fmt.Sprint("n", i)
		o.As(user, "PUT", path, `{"emails":["`+user+`@x.org"]}`, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d, 198.51.100.7, 10.0.0.1", i))
	}
	if sent := o.sendDue(); len(sent) != 4 {
		t.Errorf("%d messages, want 4", len(sent))
	}
	o.As("m", "PUT", path, `{"emails":["m@x.org"]}`, "X-Forwarded-For", "198.51.100.7")
	for range 4 {
		o.As("m", "POST", resendPath, `{"address":"m@x.org"}`, "X-Forwarded-For", "198.51.100.7")
	}
	o.add("p", "p@x.org") // from here
	for i := range 5 {
		user := fmt.Sprint("q", i)
		o.As(user, "PUT", path, `{"emails":["`+user+`@x.org"]}`)
	}
	retry(o.As("q4", "POST", resendPath, `{"address":"q4@x.org"}`), 22*time.Hour, 24*time.Hour, "your network")

	// The limit of ten in a year.
	w := newOwners(t)
	w.add("ada", "grace@example.org")
	for range 9 {
		w.asked("grace@example.org")
		w.pass(25 * time.Hour)
		if a := w.resend("ada", "grace@example.org"); a.Status != 202 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	w.asked("grace@example.org")
	w.pass(25 * time.Hour)
	w.WantProblem(w.resend("ada", "grace@example.org"), 429, "rate_limited", "in a year")
	w.pass(356 * 24 * time.Hour)
	if a := w.resend("ada", "grace@example.org"); a.Status != 202 {
		t.Fatalf("a year later: %d %s", a.Status, a.Body)
	}
}

// Concurrent requests of many users don't exceed the limit of a network.
func TestLimitOfANetworkAtOnce(t *testing.T) {
	o := newOwners(t, "VERIFY_PER_NETWORK=7")
	var group sync.WaitGroup
	for i := range 10 {
		user := fmt.Sprint("u", i)
		group.Go(func() {
			if a := o.As(user, "PUT", path, fmt.Sprintf(`{"emails":["a@%[1]s.example.org","b@%[1]s.example.org","c@%[1]s.example.org"]}`, user)); a.Status != 200 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	group.Wait()
	if n := len(o.sendDue()); n != 7 {
		t.Errorf("%d messages, want 7", n)
	}
}

// The address of the sign-in is verified for its user. A program with the scope act can say that
// addresses of its users are verified.
func TestWhoNeedsNoVerification(t *testing.T) {
	o := newOwners(t)
	o.add("ada", "Ada@Example.com")
	if got := o.state("ada", "Ada@Example.com"); got != "verified" {
		t.Errorf("the sign-in's: %q", got)
	}
	const vouched = `{"emails":[{"address":"grace@example.org","verified":true,"state":"suppressed"},"x@example.org"],"phones":[{"address":"+15551234567","verified":true}]}`
	o.WantProblem(o.As("ada", "PUT", path, vouched), 403, "forbidden", "scope act")
	o.WantProblem(o.Call("PUT", path, vouched, "Authorization", "Bearer "+o.AdminToken()), 403, "forbidden", "scope act")
	if got := o.state("ada", "Ada@Example.com"); got != "verified" {
		t.Error("a refused change was made")
	}
	a := o.Call("PUT", path, vouched, "Authorization", "Bearer "+o.ServiceToken(), "Duebell-User", "bob")
	if a.Status != 200 || strings.Count(a.Body, `"verified"`) != 2 || strings.Count(a.Body, `"unverified"`) != 1 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	o.asked("x@example.org")
	// verified false is ignored, and the answer of a GET can be sent back.
	if a := o.As("ada", "PUT", path, `{"emails":[{"address":"y@example.org","verified":false,"state":"verified"}]}`); a.Status != 200 || o.state("ada", "y@example.org") != "unverified" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	o.asked("y@example.org")
	for body, detail := range map[string]string{
		`{"emails":[{}]}`: "is not an e-mail address", `{"emails":[{"address":7}]}`: "/emails/0/address must be a string",
		`{"phones":[{"address":"+15551234567","colour":1}]}`: "/phones/0/colour is not known", `{"emails":[{"address":"a@x.org","verified":"yes"}]}`: "true or false",
	} {
		o.WantProblem(o.As("ada", "PUT", path, body), 400, "invalid", detail)
	}
}

func TestVerificationIsNotSetUp(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	if a := s.As("ada", "PUT", path, `{"emails":["grace@example.org"]}`); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	w.WantProblem(s.As("ada", "POST", resendPath, `{"address":"grace@example.org"}`), 409, "conflict", "VERIFY_KEY")
	wantPageOf(t, 400, s.Call("GET", verify.Path+"?token=x", nil), "not valid")
	if n := w.Count(`select count(*) from deliveries`); n != 0 {
		t.Errorf("%d messages are planned", n)
	}
}

func TestBadVerificationLinks(t *testing.T) {
	o := newOwners(t)
	o.add("ada", "grace@example.org")
	v := o.asked("grace@example.org").Verification
	other := verify.Keys{Keys: []config.Secret{"another-key-of-at-least-32-characters"}}
	token := v.Link[strings.Index(v.Link, "token=")+len("token="):]
	for _, bad := range []string{
		"", "x", "%00%ff", strings.Repeat("A", 5000), token[:len(token)-1], token + "A", "B" + token[1:], token[:len(token)-1] + "%0A",
		other.Token(uuid.New(), make([]byte, 16)), unsubscribeToken("ada", "grace@example.org"),
	} {
		for _, at := range []string{verify.Path, verify.NotMePath} {
			wantPageOf(t, 400, o.Call("GET", at+"?token="+bad, nil), "this link is not valid")
			wantPageOf(t, 400, o.click(at+"?token="+bad, ""), "this link is not valid")
			o.WantProblem(o.Call("POST", at+"?token="+bad, nil, "Accept", "application/json"), 400, "invalid", "not valid")
		}
	}
	if o.state("ada", "grace@example.org") != "unverified" || o.Count(`select count(*) from verification_refusals`) != 0 {
		t.Error("a bad link has changed something")
	}
}

func unsubscribeToken(user, address string) string {
	_, token, _ := strings.Cut(link(user, address), "token=")
	return token
}

// A number that this installation may not send to can't be added, and no verification is sent to
// it. One that is stored already is kept.
func TestNumbersThatAreNotAllowed(t *testing.T) {
	o := newOwners(t, "SMS_ALLOWED_PREFIXES=+1,+49")
	o.WantProblem(o.add("ada", "+447700900000"), 400, "invalid", "begin with +1, +49 only; give one of those")
	if a := o.add("ada", "+15551234567"); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	o.asked("+15551234567")
	o.Exec(`update preferences set phones = '{+447700900000}'`)
	if a := o.add("ada", "+447700900000"); a.Status != 200 {
		t.Errorf("one that was there before: %d %s", a.Status, a.Body)
	}
	o.WantProblem(o.As("ada", "POST", resendPath, map[string]any{"address": "+447700900000"}), 409, "conflict", "begin with +1, +49 only")
	if sent := o.sendDue(); len(sent) > 0 {
		t.Errorf("sent: %+v", sent)
	}
}
