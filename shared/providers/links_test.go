package providers_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Only what sends links the providers' libraries: the rest starts faster without.
func TestOnlySendersLinkProviders(t *testing.T) {
	const ours = "github.com/duebell/duebell/"
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Deps \" \"}}", "../../functions/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	senders := map[string]bool{"trigger-reminder": true, "retry-dlq": true}
	seen := 0
	for line := range strings.Lines(string(out)) {
		path, needs, _ := strings.Cut(line, " ")
		name := strings.TrimPrefix(path, ours+"functions/")
		links := strings.Contains(needs, ours+"shared/providers")
		for _, library := range []string{"/aws-sdk-go-v2/service/", "google.golang.org/api/fcm", "/twilio-go", "/sendgrid-go", "/go-mail"} {
			if strings.Contains(needs, library) != senders[name] {
				t.Errorf("%s: links %s is %v", name, library, !senders[name])
			}
		}
		if links != senders[name] {
			t.Errorf("%s: links the providers is %v", name, links)
		}
		seen++
	}
	if seen < 10 {
		t.Errorf("there are %d functions", seen)
	}
}
