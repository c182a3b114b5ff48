package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/duebell/duebell/local/process"
)

// The program behind `make run` shows a reminder arriving, serves until it is told to stop, and
// leaves nothing behind. The examples of the pages work.
func TestUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port, err := process.FreePorts(0)
	if err != nil {
		t.Fatal(err)
	}
	_, number, _ := strings.Cut(process.Address(port[0]), ":")
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	says := func(what string) bool { return bytes.Contains(read(t, out), []byte(what)) }
	up := exec.Command(filepath.Join(bin, "duebell"), "up")
	up.Dir, up.Env = dir, append(os.Environ(), "PORT="+number, "DATABASE_URL=")
	up.Stdout, up.Stderr = out, out
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- up.Wait() }()
	defer func() { _ = up.Process.Kill() }()

	envFile := filepath.Join(dir, ".duebell", "dev.env")
	wait(t, ended, out, func() bool { return says("until Ctrl-C") })
	try(t, dir)
	tryImport(t, dir)

	second := exec.Command(filepath.Join(bin, "duebell"), "up")
	second.Dir, second.Env = dir, append(os.Environ(), "PORT=0")
	if said, err := second.CombinedOutput(); err == nil || !bytes.Contains(said, []byte("runs in")) {
		t.Errorf("a second one in the same folder: %v, %s", err, said)
	}

	began := time.Now()
	if err := up.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(soon):
		t.Errorf("still there after %v", time.Since(began))
	}
	if _, err := os.Stat(envFile); err == nil {
		t.Error("dev.env outlived the system")
	}
	for _, want := range []string{
		`"Water the plants" in the inbox`, "through SendGrid", "through FCM", "through OneSignal", "through Twilio", "to a webhook", "audit-log recorded",
		`"Call the bank" in the inbox`, "sendgrid was told to refuse it, and ses took it", "nothing came", "stopped",
	} {
		if !says(want) {
			t.Errorf("its output lacks %s", want)
		}
	}
	if left := processesIn(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if t.Failed() {
		t.Logf("%s", read(t, out))
	}
}

// read returns all that a file holds.
func read(t *testing.T, f *os.File) []byte {
	t.Helper()
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// wait waits for the system to come up.
func wait(t *testing.T, ended <-chan error, out *os.File, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("ended with %v:\n%s", err, read(t, out))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not come up")
		}
	}
}

var (
	firstExample  = regexp.MustCompile("(?s)```sh\n(source .*?)```")
	importExample = regexp.MustCompile("(?s)```sh\n(source [^`]*?/api/tasks/batch.*?)```")
)

// try runs the example of docs/start.md.
func try(t *testing.T, dir string) {
	t.Helper()
	page, err := os.ReadFile("../docs/start.md")
	if err != nil {
		t.Fatal(err)
	}
	example := firstExample.FindSubmatch(page)
	if example == nil {
		t.Fatal("docs/start.md has no example that begins with source")
	}
	shell := exec.Command("bash", "-euo", "pipefail", "-c", string(example[1]))
	shell.Dir = dir
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var answers []json.RawMessage
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var answer json.RawMessage
		if err := decoder.Decode(&answer); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		answers = append(answers, answer)
	}
	if len(answers) != 3 {
		t.Fatalf("%d answers: %s", len(answers), out)
	}
	for i, what := range []string{"the task", "the inbox", "the sandbox"} {
		if n := bytes.Count(answers[i], []byte("Stretch")); n == 0 || i == 1 && n != 1 {
			t.Errorf("%s has it %d times: %s", what, n, answers[i])
		}
	}
}

// tryImport runs the examples of docs/importing.md, in their order.
func tryImport(t *testing.T, dir string) {
	t.Helper()
	page, err := os.ReadFile("../docs/importing.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := importExample.FindAllSubmatch(page, 2)
	if len(examples) < 2 {
		t.Fatalf("docs/importing.md has %d examples of imports", len(examples))
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "build"), 0o755), os.Symlink(bin, filepath.Join(dir, "build", "bin"))); err != nil {
		t.Fatal(err)
	}
	for _, example := range examples {
		shell := exec.Command("bash", "-euo", "pipefail", "-c", string(example[1]))
		shell.Dir = dir
		out, err := shell.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte(`"created":2`)) || !bytes.Contains(out, []byte(`"failed":0`)) {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// processesIn returns the names of the processes that run in a folder or have it in their
// arguments.
func processesIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		command, err := os.ReadFile(line)
		if err != nil {
			continue // it has ended
		}
		cwd, _ := os.Readlink(filepath.Join(filepath.Dir(line), "cwd"))
		if strings.Contains(string(command), dir) || strings.HasPrefix(cwd, dir) {
			found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}
