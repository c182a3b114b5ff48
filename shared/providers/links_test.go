package providers_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Only send links the providers' clients: the rest starts faster, and is smaller, without.
// trigger-reminder and retry-dlq read the settings, which are declared beside the clients, so
// for those it is looked what the linker has kept.
func TestOnlySendLinksProviders(t *testing.T) {
	const ours = "github.com/duebell/duebell/"
	reads := []string{"retry-dlq", "send", "trigger-reminder"}
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Deps \" \"}}", "../../functions/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		path, needs, _ := strings.Cut(strings.TrimSpace(line), " ")
		name := strings.TrimPrefix(path, ours+"functions/")
		imports := slices.Contains(strings.Fields(needs), ours+"shared/providers")
		if imports != slices.Contains(reads, name) {
			t.Errorf("%s: imports the providers is %v", name, imports)
		}
		for _, library := range []string{"/aws-sdk-go-v2/service/", "google.golang.org/api/fcm", "/twilio-go", "/sendgrid-go", "/go-mail"} {
			if strings.Contains(needs, library) && !imports {
				t.Errorf("%s: imports %s", name, library)
			}
		}
		seen++
	}
	if seen < 10 {
		t.Errorf("there are %d functions", seen)
	}

	dir := t.TempDir()
	for _, name := range reads {
		program := filepath.Join(dir, name)
		if out, err := exec.Command("go", "build", "-o", program, "../../functions/"+name).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		symbols, err := exec.Command("go", "tool", "nm", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, client := range []string{
			"/aws-sdk-go-v2/service/sesv2.(*Client).", "/aws-sdk-go-v2/service/sns.(*Client).", "google.golang.org/api/fcm/v1.(*",
			"/twilio-go/client.(*Client).", "/sendgrid-go/helpers/mail.(*", "/go-mail.(*Client).",
		} {
			if linked := bytes.Contains(symbols, []byte(client)); linked != (name == "send") {
				t.Errorf("%s: %s is linked is %v", name, client, linked)
			}
		}
	}
}
