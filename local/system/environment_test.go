package system

import (
	"os/exec"
	"strings"
	"testing"
)

func TestShellReadsBackWhatWasWritten(t *testing.T) {
	for _, value := range []string{
		"postgres://u:p@127.0.0.1:5432/db?sslmode=disable", "a b", "a&b;c", "it's", `back\slash`, "$HOME `id` \"x\"", "", "#", "~",
	} {
		file := shellFile(map[string]string{"VALUE": value})
		out, err := exec.Command("/bin/sh", "-c", file+`printf %s "$VALUE"`).Output()
		if err != nil || string(out) != value {
			t.Errorf("the shell reads %q (%v) from %q", out, err, file)
		}
	}
	plain := shellFile(map[string]string{"B": "http://127.0.0.1:8080", "A": "x=y?z"})
	if want := "set -a\nA=x=y?z\nB=http://127.0.0.1:8080\nset +a\n"; plain != want {
		t.Errorf("the file is %q, want %q", plain, want)
	}
	if strings.Contains(plain, "'") {
		t.Error("plain values are quoted")
	}
}

func TestPortsAreKept(t *testing.T) {
	path := t.TempDir() + "/ports.json"
	two := []daprd{{name: "daprd"}, {name: "daprd-2"}}
	first, err := choosePorts(path, Functions, two, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.save(path); err != nil {
		t.Fatal(err)
	}
	second, err := choosePorts(path, Functions[1:], two[1:], 8080)
	if err != nil {
		t.Fatal(err)
	}
	if second.Gateway != 8080 {
		t.Errorf("the gateway's port is %d", second.Gateway)
	}
	if second.Daprds["daprd-2"] != first.Daprds["daprd-2"] || first.Daprds["daprd-2"].GRPC == 0 || second.Scheduler != first.Scheduler || second.Postgres != first.Postgres {
		t.Errorf("the ports were %+v and are %+v", first, second)
	}
	for _, f := range Functions[1:] {
		if second.Functions[f.Name] != first.Functions[f.Name] {
			t.Errorf("%s had %d and has %d", f.Name, first.Functions[f.Name], second.Functions[f.Name])
		}
	}
	if len(second.Functions) != len(Functions)-1 {
		t.Errorf("there are ports for %v", second.Functions)
	}
}
