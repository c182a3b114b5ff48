package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/config"
)

const secretURL = "postgres://duebell:hunter22@db:port/duebell"

type database struct {
	URL     config.Secret `env:"DATABASE_URL,required" help:"the URL of the Postgres database"`
	Timeout time.Duration `env:"DATABASE_TIMEOUT" envDefault:"5s"`
}

// Validate returns the error of url.Parse, which shows the password: a mistake that the package has
// to catch.
func (c database) Validate() error {
	_, err := url.Parse(c.URL.Reveal())
	if err != nil {
		err = fmt.Errorf("DATABASE_URL is not a URL: %w", err)
	}
	if c.Timeout < 0 {
		err = errors.Join(err, errors.New("DATABASE_TIMEOUT must not be negative"))
	}
	return err
}

type limits struct {
	Max int `env:"MAX" envDefault:"3"`
}

func (c limits) Validate() []string {
	if c.Max < 1 {
		return []string{"BATCH_MAX must be at least 1"}
	}
	return nil
}

func TestParse(t *testing.T) {
	type service struct {
		Database database
		Batch    limits          `envPrefix:"BATCH_"`
		Level    slog.Level      `env:"LOG_LEVEL" envDefault:"info"`
		Tokens   []config.Secret `env:"TOKENS"`
		Zone     time.Location   `env:"ZONE" envDefault:"UTC"`
	}
	got, err := config.Parse[service]([]string{
		"DATABASE_URL=postgres://db/?a=b", // values may hold '='
		"DATABASE_TIMEOUT=",               // the same as not set
		"BATCH_MAX=7",
		"LOG_LEVEL=warn",
		"TOKENS=one,two",
		"UNRELATED=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Database.URL.Reveal() != "postgres://db/?a=b" || got.Database.Timeout != 5*time.Second ||
		got.Batch.Max != 7 || got.Level != slog.LevelWarn || got.Zone.String() != "UTC" {
		t.Errorf("Parse = %+v", got)
	}
	if len(got.Tokens) != 2 || got.Tokens[1].Reveal() != "two" {
		t.Errorf("Tokens = %d, want one and two", len(got.Tokens))
	}
}

func TestParseReportsEveryProblem(t *testing.T) {
	type service struct {
		Database database
		Batch    limits        `envPrefix:"BATCH_"`
		Level    slog.Level    `env:"LOG_LEVEL" help:"debug, info, warn or error"`
		Port     int           `env:"PORT" help:"the port to serve on"`
		Grace    time.Duration `env:"GRACE"`
		Debug    bool          `env:"DEBUG"`
		Ratio    float64       `env:"RATIO"`
		Size     uint          `env:"SIZE"`
		Ports    []int         `env:"PORTS"`
		Zone     time.Location `env:"ZONE"`
		Key      config.Secret `env:"KEY_FILE,file"`
		Name     string        `env:"NAME,required"`
		Good     string        `env:"GOOD,required"`
	}
	_, err := config.Parse[service]([]string{
		"DATABASE_TIMEOUT=-1s", "BATCH_MAX=0", "LOG_LEVEL=loud", "PORT=http", "GRACE=8", "DEBUG=perhaps",
		"RATIO=x", "SIZE=-1", "PORTS=1,x", "ZONE=Atlantis/City", "KEY_FILE=/does/not/exist", "NAME=", "GOOD=yes",
	})
	want := `DATABASE_URL is missing: set it to the URL of the Postgres database
DATABASE_TIMEOUT must not be negative
BATCH_MAX must be at least 1
LOG_LEVEL is malformed: set it to debug, info, warn or error (slog: level string "loud": unknown name)
PORT is malformed: set it to a whole number
GRACE is malformed: set it to a duration such as 90s or 24h
DEBUG is malformed: set it to true or false
RATIO is malformed: set it to a number
SIZE is malformed: set it to a whole number, 0 or more
PORTS is malformed: set it to a list separated by commas, each a whole number
ZONE is malformed: set it to a time zone such as Europe/Paris
KEY_FILE names a file that can't be read: open /does/not/exist: no such file or directory
NAME is missing: set it to a value`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestParseNeverShowsSecrets(t *testing.T) {
	_, err := config.Parse[database]([]string{"DATABASE_URL=" + secretURL})
	if err == nil || !strings.Contains(err.Error(), "DATABASE_URL is not a URL") {
		t.Fatalf("error = %v, want one about DATABASE_URL", err)
	}
	if strings.Contains(err.Error(), "hunter22") {
		t.Errorf("the error shows the secret: %v", err)
	}

	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(secretURL), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = config.Parse[fromFile]([]string{"URL_FILE=" + file})
	if err == nil || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("error = %v, want one that masks what the file holds", err)
	}
}

type fromFile struct {
	URL config.Secret `env:"URL_FILE,file"`
}

func (c fromFile) Validate() error {
	return fmt.Errorf("URL_FILE holds %q", c.URL.Reveal())
}

// The Validate method of an embedded struct is promoted. Its problems must be reported once only.
func TestParseReportsEmbeddedProblemsOnce(t *testing.T) {
	type service struct {
		Limits
	}
	_, err := config.Parse[service]([]string{"EMBEDDED_MAX=0"})
	if err == nil || err.Error() != "EMBEDDED_MAX must be at least 1" {
		t.Errorf("error = %v, want one line", err)
	}
}

// Limits is exported: only exported embedded structs are read.
type Limits struct {
	Max int `env:"EMBEDDED_MAX"`
}

func (c Limits) Validate() error {
	if c.Max < 1 {
		return errors.New("EMBEDDED_MAX must be at least 1")
	}
	return nil
}

func TestVariables(t *testing.T) {
	type service struct {
		Database database
		Batch    limits          `envPrefix:"BATCH_"`
		Tokens   []config.Secret `env:"TOKENS,file"`
	}
	want := []config.Variable{
		{Name: "DATABASE_URL", Help: "the URL of the Postgres database", Required: true, Secret: true},
		{Name: "DATABASE_TIMEOUT", Default: "5s"},
		{Name: "BATCH_MAX", Default: "3"},
		{Name: "TOKENS", Secret: true},
	}
	if diff := cmp.Diff(want, config.Variables[service]()); diff != "" {
		t.Errorf("Variables (-want +got):\n%s", diff)
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	const value = "correct horse battery staple"
	secret := config.Secret(value)
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("start", "secret", secret, "config", database{URL: secret})
	slog.New(slog.NewTextHandler(&logged, nil)).Info("start", "secret", secret, "config", database{URL: secret})
	encoded, err := json.Marshal([]any{secret, &secret, database{URL: secret}})
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{logged.String(), string(encoded), secret.String(), fmt.Sprint(secret, &secret, []config.Secret{secret})}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%40s"} {
		shown = append(shown, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, database{URL: secret}))
	}
	hex := fmt.Sprintf("%x", value)
	for _, text := range shown {
		if strings.Contains(text, value) || strings.Contains(strings.ToLower(text), hex) {
			t.Errorf("shows the secret: %s", text)
		}
	}
	if secret.Reveal() != value {
		t.Errorf("Reveal = %q", secret.Reveal())
	}
}
