package install

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
)

// Settings are the settings of one installation.
type Settings struct {
	Host     string // of the API
	Gateway  string // NAMESPACE/NAME of the public gateway
	Issuer   string
	Audience string
	Events   string // kafka, redis or none; "" means none
	Broker   string // HOST:PORT of Kafka or Redis
}

// Validate reports what is missing or malformed, by the names of the flags.
func (s Settings) Validate() error {
	var problems []error
	s.Events = cmp.Or(s.Events, "none")
	for _, f := range [][2]string{{"-host", s.Host}, {"-gateway", s.Gateway}, {"-issuer", s.Issuer}, {"-audience", s.Audience}} {
		if f[1] == "" {
			problems = append(problems, fmt.Errorf("%s is missing", f[0]))
		}
		if strings.ContainsAny(f[1], " \t\r\n\"'[]{}") {
			problems = append(problems, fmt.Errorf("%s has a character that can't be in it", f[0]))
		}
	}
	if isPlaceholder(s.Host) {
		problems = append(problems, errors.New("-host is that of the example"))
	}
	if u, err := url.Parse(s.Issuer); err == nil && isPlaceholder(u.Hostname()) {
		problems = append(problems, errors.New("-issuer is that of the example"))
	}
	if in, name, found := strings.Cut(s.Gateway, "/"); s.Gateway != "" && (!found || in == "" || name == "" || strings.Contains(name, "/")) {
		problems = append(problems, errors.New("-gateway must be NAMESPACE/NAME"))
	}
	switch {
	case s.Events != "kafka" && s.Events != "redis" && s.Events != "none":
		problems = append(problems, errors.New("-events must be kafka, redis or none"))
	case s.Events == "none" && s.Broker != "":
		problems = append(problems, errors.New("-broker is for -events kafka or redis"))
	case s.Events != "none" && !strings.Contains(s.Broker, ":"):
		problems = append(problems, fmt.Errorf("-broker must be the HOST:PORT of %s", s.Events))
	}
	return errors.Join(problems...)
}

// mark begins an overlay that Deploy may write again.
const mark = "# Written by duebell deploy, which writes it again when it is given settings. To change it by hand,\n# take this out, and call duebell deploy without them.\n"

// WriteOverlay writes an installation's overlay into a folder: the example with the settings. It
// does not overwrite an overlay that it has not written.
func WriteOverlay(folder string, s Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	const example = "manifests/overlays/knative"
	if _, err := os.Stat(filepath.Join(example, "kustomization.yaml")); err != nil {
		return errors.New("the folder manifests is not here: run this in a checkout of Duebell")
	}
	kustomization := filepath.Join(folder, "kustomization.yaml")
	switch there, err := os.ReadFile(kustomization); {
	case err == nil && !strings.HasPrefix(string(there), mark):
		return fmt.Errorf("%s was written by hand: leave out the settings to apply it as it is, or name another folder with -overlay", kustomization)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	up, err := between(folder, "manifests")
	if err != nil {
		return err
	}
	in, name, _ := strings.Cut(s.Gateway, "/")
	texts := map[string][][2]string{
		"kustomization.yaml": {
			{"value: [{name: public, namespace: gateways}]", fmt.Sprintf("value: [{name: %s, namespace: %s}]", name, in)},
			{"value: [api.example.com]", fmt.Sprintf("value: [%s]", s.Host)},
		},
		"settings.yaml": {
			{"OIDC_ISSUER: https://login.example.com\n", "OIDC_ISSUER: " + quoted(s.Issuer) + "\n"},
			{"OIDC_AUDIENCE: duebell\n", "OIDC_AUDIENCE: " + quoted(s.Audience) + "\n"},
		},
		"grant.yaml": nil,
	}
	for name, changes := range texts {
		text, err := os.ReadFile(filepath.Join(example, name))
		if err != nil {
			return err
		}
		changed := string(text)
		if name == "kustomization.yaml" {
			changes = append(changes, s.events(changed)...)
		}
		for _, c := range changes {
			if strings.Count(changed, c[0]) != 1 {
				return fmt.Errorf("%s/%s has no place for this setting: %q", example, name, c[0])
			}
			changed = strings.Replace(changed, c[0], c[1], 1)
		}
		changed = strings.ReplaceAll(changed, "- ../../", "- "+filepath.ToSlash(up)+"/")
		if err := os.WriteFile(filepath.Join(folder, name), []byte(mark+changed), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// between returns the path from a folder to another without links, as kustomize needs it.
func between(from, to string) (string, error) {
	for _, path := range []*string{&from, &to} {
		whole, err := filepath.Abs(*path)
		if err == nil {
			*path, err = filepath.EvalSymlinks(whole)
		}
		if err != nil {
			return "", err
		}
	}
	return filepath.Rel(from, to)
}

// events returns the changes of the kustomization for the chosen broker.
func (s Settings) events(text string) [][2]string {
	const component = "- ../../dapr/pubsub/kafka # or redis, or in-memory\n"
	const address = "  - target: {kind: Component, name: kafka-pubsub}\n"
	if cmp.Or(s.Events, "none") == "none" {
		_, patch, _ := strings.Cut(text, address)
		return [][2]string{
			{component, "- ../../dapr/pubsub/in-memory\n"}, {"  - ../../dapr/subscribers # leave it out if nobody wants events\n", ""}, {address + patch, ""},
		}
	}
	return [][2]string{
		{component, "- ../../dapr/pubsub/" + s.Events + "\n"}, {"value: kafka.kafka.svc.cluster.local:9093\n", "value: " + quoted(s.Broker) + "\n"},
	}
}

// quoted returns a text as a YAML string.
func quoted(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil { // it is no UTF-8
		return `""`
	}
	return string(encoded)
}
