package system

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/duebell/duebell/local/file"
	"github.com/duebell/duebell/local/issuer"
)

// environmentFile exists while the system is ready. People's shells read it.
const environmentFile = "dev.env"

// tokenLifetime is longer than anybody keeps a local system running.
const tokenLifetime = 30 * 24 * time.Hour

// consoleClient is what the issuer calls the console; it is the default of CONSOLE_CLIENT_ID.
const consoleClient = "duebell-console"

// people are the claims of the tokens in the environment file, by the tokens' variables.
var people = map[string]issuer.Claims{
	"DUEBELL_TOKEN":         {Subject: "demo", Email: "demo@example.com", EmailVerified: true},
	"DUEBELL_TOKEN_2":       {Subject: "other"},
	"DUEBELL_ADMIN_TOKEN":   {Subject: "admin", Scope: "admin"},
	"DUEBELL_SERVICE_TOKEN": {Subject: "demo-service", Scope: "act"},
}

// signIn returns who may sign in to the console, for each name of this machine.
func (s *System) signIn() issuer.SignIn {
	const path = "/console/sign-in"
	signIn := issuer.SignIn{
		ClientID: consoleClient, Audience: audience,
		RedirectURIs: []string{s.url + path, fmt.Sprintf("http://localhost:%d%s", s.ports.Gateway, path)},
	}
	for _, token := range []string{"DUEBELL_TOKEN", "DUEBELL_TOKEN_2", "DUEBELL_ADMIN_TOKEN"} {
		signIn.People = append(signIn.People, people[token])
	}
	return signIn
}

// Token returns a token that the functions accept. The claims need no audience.
func (s *System) Token(c issuer.Claims) (string, error) {
	c.Audience = audience
	return s.issuer.Token(c)
}

// Environment returns what the file dev.env in the system's folder holds: the URL,
// tokens and addresses by which a person or a test uses the system.
func (s *System) Environment() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.environment)
}

func (s *System) writeEnvironment() error {
	environment := map[string]string{"DUEBELL_URL": s.url}
	variables := s.variables()
	for _, name := range []string{"DATABASE_URL", "DAPR_GRPC_ENDPOINT", "DAPR_API_TOKEN", "APP_API_TOKEN"} {
		environment[name] = variables[name]
	}
	for name, claims := range people {
		claims.Lifetime = tokenLifetime
		token, err := s.Token(claims)
		if err != nil {
			return err
		}
		environment[name] = token
	}
	s.mu.Lock()
	s.environment = environment
	s.mu.Unlock()
	return file.Replace(s.path(environmentFile), []byte(shellFile(environment)))
}

// shellFile returns the variables as a shell reads them, exporting each.
func shellFile(variables map[string]string) string {
	var b strings.Builder
	b.WriteString("set -a\n")
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		fmt.Fprintf(&b, "%s=%s\n", name, quote(variables[name]))
	}
	b.WriteString("set +a\n")
	return b.String()
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@=?%+,-]+$`)

// quote returns a value as the shell needs it, with quotes only where they are needed.
func quote(value string) string {
	if plain.MatchString(value) {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
