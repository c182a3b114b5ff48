package e2e

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/api"
)

// The link in an e-mail leads through the gateway to the function, and does its work without a token.
func TestLinkInAnEmail(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	task := p.create(0)
	p.told(soon, 1)
	link := regexp.MustCompile(`(?m)^Done: (\S+/m/\S+)$`).FindStringSubmatch(p.mailsTo(p.name + "@example.com")[0])
	if link == nil {
		t.Fatalf("no link in %q", p.mailsTo(p.name + "@example.com")[0])
	}
	if !strings.HasPrefix(link[1], sys.URL()+"/m/") {
		t.Errorf("it leads to %s", link[1])
	}
	for _, step := range []struct {
		method, says string
		completed    bool
	}{{"GET", "Mark as done", false}, {"POST", "<h1>Done</h1>", true}, {"POST", "This is done already", true}} {
		req, err := http.NewRequestWithContext(t.Context(), step.method, link[1], http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		is := ask[api.Task](p, "GET", "/api/tasks/"+task.ID.String(), nil)
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(page), step.says) || is.Completed != step.completed {
			t.Errorf("%s: %s, completed: %v: %s", step.method, resp.Status, is.Completed, page)
		}
	}
}
