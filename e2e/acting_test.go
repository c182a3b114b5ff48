package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/gateway"
	"github.com/duebell/duebell/local/issuer"
	"github.com/duebell/duebell/shared/api"
)

// forOperators reports whether a route is for operators only.
func forOperators(route gateway.Route) bool {
	return route.Function == "dead-letters" || route.Function == "analytics" || strings.Contains(route.Pattern, "/api/suppressions")
}

// asked is an answer of which only the status matters.
type asked struct {
	status int
	detail string // of a problem
}

// send makes a request to a route, with a header Duebell-User for each of named.
func (p person) send(route gateway.Route, query, token string, named []string) asked {
	p.Helper()
	method, path, _ := strings.Cut(route.Pattern, " ")
	path = strings.NewReplacer("{task_id}", uuid.NewString(), "{id}", uuid.NewString()).Replace(path)
	ctx, cancel := context.WithTimeout(p.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.sys.URL()+path+query, strings.NewReader("{}"))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header["Duebell-User"] = named
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	var problem struct{ Detail string }
	if resp.StatusCode >= 400 { // a stream would not end
		if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
			p.Fatalf("%s: %d, %v", route.Pattern, resp.StatusCode, err)
		}
	}
	return asked{resp.StatusCode, problem.Detail}
}

// Who may name another user, on every route and in every way.
func TestWhoActsForWhom(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	token := func(scope string) string {
		token, err := sys.Token(issuer.Claims{Subject: p.name, Scope: scope, Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	none, act, admin, both := token(""), token("act"), token("admin"), token("act admin")
	eve := []string{p.name + "-eve"}
	refused := func(status int, detail string) func(asked) bool {
		return func(a asked) bool { return a.status == status && strings.Contains(a.detail, detail) }
	}
	passed := func(a asked) bool {
		return a.status != 401 && a.status != 403 && !strings.Contains(a.detail, "Duebell-User")
	}
	header, operatorsOnly := refused(400, "Duebell-User must be"), refused(403, "for operators")
	for _, route := range gateway.Routes {
		if sys.Process(route.Function) == nil || public[route.Pattern] || route.Function == "trigger-reminder" {
			continue
		}
		reads := strings.HasPrefix(route.Pattern, "GET ")
		forAct, forAdmin := passed, passed
		if forOperators(route) {
			forAct = operatorsOnly
		}
		if !reads {
			forAdmin = refused(403, "operators may only read")
		}
		for what, test := range map[string]struct {
			token string
			named []string
			want  func(asked) bool
		}{
			"without a token":    {"", eve, refused(401, "sign in")},
			"no scope":           {none, eve, refused(403, "scope act")},
			"no scope, own id":   {none, []string{p.name}, refused(403, "scope act")},
			"no scope, empty":    {none, []string{""}, refused(403, "scope act")},
			"act":                {act, eve, forAct},
			"admin":              {admin, eve, forAdmin},
			"both scopes":        {both, eve, passed},
			"an operator's id":   {act, []string{"admin"}, forAct},
			"twice":              {act, []string{eve[0], eve[0]}, header},
			"twice, both scopes": {both, []string{eve[0], "admin"}, header},
			"empty":              {act, []string{""}, header},
			"256 characters":     {act, []string{strings.Repeat("x", 256)}, header},
			"255 characters":     {act, []string{strings.Repeat("x", 255)}, forAct},
			"a control (C1)":     {act, []string{"a\u0085b"}, header},
			"not UTF-8":          {act, []string{"a\xffb"}, header},
		} {
			if got := p.send(route, "", test.token, test.named); !test.want(got) {
				t.Errorf("%s, %s: %d %s", route.Pattern, what, got.status, got.detail)
			}
		}
		if got := p.withNUL(route, act); got != http.StatusBadRequest {
			t.Errorf("%s, NUL: %d", route.Pattern, got)
		}
	}
	ticket := ask[struct{ Ticket string }](p, "POST", "/api/notifications/ticket", nil).Ticket
	for _, path := range []string{"/api/notifications/stream", "/api/notifications/ws"} {
		for what, token := range map[string]string{"a ticket": "", "a ticket and act": act, "a ticket and both": both} {
			if got := p.send(gateway.Route{Pattern: "GET " + path}, "?ticket="+ticket, token, eve); !refused(400, "ticket")(got) {
				t.Errorf("%s, %s: %d %s", path, what, got.status, got.detail)
			}
		}
	}
}

// withNUL sends a header that no client library would.
func (p person) withNUL(route gateway.Route, token string) (status int) {
	p.Helper()
	u, err := url.Parse(p.sys.URL())
	if err != nil {
		p.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		p.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	method, path, _ := strings.Cut(route.Pattern, " ")
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nDuebell-User: a\x00b\r\nContent-Length: 0\r\n\r\n",
		method, strings.NewReplacer("{task_id}", uuid.NewString(), "{id}", uuid.NewString()).Replace(path), u.Host, token)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// The reminder of a task that a program created reaches its user.
func TestReminderOfATaskThatAProgramCreated(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	program := p
	program.token = sys.Environment()["DUEBELL_SERVICE_TOKEN"]
	status, body := program.call("POST", "/api/tasks", map[string]any{"title": "from the program", "due_date": time.Now().Add(time.Second)}, "Duebell-User", p.name)
	var created api.Task
	if err := json.Unmarshal(body, &created); err != nil || status != 201 || created.UserID != p.name {
		t.Fatalf("%d %s", status, body)
	}
	p.told(soon, 1)
	if _, body := program.call("GET", "/api/notifications", nil); strings.Contains(string(body), "from the program") {
		t.Errorf("the program was told: %s", body)
	}
	if n := p.number(`select count(*) from audit_acts where user_id = $1 and caller = 'demo-service' and method = 'POST' and path = '/api/tasks'`); n != 1 {
		t.Errorf("%d rows of it in the audit log", n)
	}
}

var teamsExample = regexp.MustCompile("(?s)```sh\n(source .*?)```")

// The example of docs/for-teams.md works.
func TestExampleForTeams(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/for-teams.md")
	if err != nil {
		t.Fatal(err)
	}
	example := teamsExample.FindSubmatch(page)
	if example == nil {
		t.Fatal("docs/for-teams.md has no example that begins with source")
	}
	var variables strings.Builder
	for name, value := range sys.Environment() {
		fmt.Fprintf(&variables, "export %s='%s'\n", name, value)
	}
	dir := t.TempDir()
	err = os.Mkdir(filepath.Join(dir, ".duebell"), 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ".duebell", "dev.env"), []byte(variables.String()), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("bash", "-euo", "pipefail", "-c", string(example[1]))
	shell.Dir = dir
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var answers []map[string]any
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var answer map[string]any
		if err := decoder.Decode(&answer); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		answers = append(answers, answer)
	}
	if len(answers) != 4 {
		t.Fatalf("%d answers: %s", len(answers), out)
	}
	if answers[0]["user_id"] != "customer-17" || answers[0]["id"] == nil || answers[1]["id"] != answers[0]["id"] {
		t.Errorf("created %v, read %v", answers[0], answers[1])
	}
	if answers[2]["message"] != "Task deleted" || answers[3]["code"] != "not_found" {
		t.Errorf("deleted %v, then %v", answers[2], answers[3])
	}
}

// A user calls any route with a token that has a new address: from then on it is the user's.
func TestEveryRouteTakesTheAddress(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	ask[api.Task](p, "POST", "/api/tasks", map[string]any{"title": "x"})
	for i, route := range gateway.Routes {
		if sys.Process(route.Function) == nil || public[route.Pattern] || route.Function == "trigger-reminder" {
			continue
		}
		address := fmt.Sprintf("%s-%d@example.com", p.name, i)
		token, err := sys.Token(issuer.Claims{Subject: p.name, Email: address, EmailVerified: true, Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		got := p.send(route, "", token, nil)
		if p.number(`select count(*) from users where id = $1 and email = '`+address+`'`) != 1 {
			t.Errorf("after %s (%d) the address is not the one of the token", route.Pattern, got.status)
		}
	}
}
