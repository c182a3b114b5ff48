package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/duebell/duebell/shared/auth"
)

// Config is the function's configuration. It has the settings of the sign-in for the page only:
// this function checks no tokens.
type Config struct {
	SignIn  auth.Config
	Console ConsoleConfig
}

// ConsoleConfig is how the page signs people in.
type ConsoleConfig struct {
	Issuer   string   `env:"CONSOLE_ISSUER" help:"the issuer at which people sign in to the console; unset: OIDC_ISSUER"`
	ClientID string   `env:"CONSOLE_CLIENT_ID" envDefault:"duebell-console" help:"the console's client id at the issuer: a public client with PKCE, with the redirect URI https://HOST/console/sign-in"`
	Scopes   []string `env:"CONSOLE_SCOPES" envDefault:"openid,email" help:"the scopes that the console asks the issuer for, with commas between; operators need admin, or the issuer's name for it"`
	Audience string   `env:"CONSOLE_AUDIENCE" help:"the audience that the console asks the issuer for, if the issuer needs it, as Auth0 does"`
	Token    string   `env:"CONSOLE_TOKEN" envDefault:"access_token" help:"which of the issuer's tokens the console sends to the API: access_token, or id_token if access tokens have no audience or can't be read"`
	Connect  []string `env:"CONSOLE_CONNECT_ORIGINS" help:"the origins of the issuer's endpoints that are not on the issuer's host, like https://login.example.com, with commas between"`
}

// Validate says what is wrong with the configuration.
func (c Config) Validate() (problems []string) {
	if c.Console.Issuer != "" && !slices.Contains(c.issuers(), c.Console.Issuer) {
		problems = append(problems, "CONSOLE_ISSUER must be OIDC_ISSUER, or an issuer of OIDC_FURTHER_ISSUERS")
	}
	if !slices.Contains(c.Console.Scopes, "openid") {
		problems = append(problems, "CONSOLE_SCOPES must have openid among them")
	}
	if c.Console.Token != "access_token" && c.Console.Token != "id_token" {
		problems = append(problems, "CONSOLE_TOKEN must be access_token or id_token")
	}
	for _, origin := range c.Console.Connect {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" || u.Host == "" || origin != "https://"+u.Host || strings.ContainsAny(u.Host, ";, *'") {
			problems = append(problems, fmt.Sprintf("CONSOLE_CONNECT_ORIGINS: %q is no origin; write it like https://login.example.com", origin))
		}
	}
	return problems
}

func (c Config) issuers() []string {
	all := []string{c.SignIn.Issuer}
	for _, further := range c.SignIn.Further {
		all = append(all, further.URL)
	}
	return all
}

// signIn is the part of the configuration that the page gets. It has no secrets.
type signIn struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
	Audience string `json:"audience,omitempty"`
	Token    string `json:"token"`
	// AdminScope and ScopeClaims say how the page finds out from a token that its user is an
	// operator. That only decides what the page shows. The API checks the token itself.
	AdminScope  string   `json:"admin_scope"`
	ScopeClaims []string `json:"scope_claims"`
}

func (c Config) signIn() signIn {
	s := signIn{
		Issuer: c.SignIn.Issuer, ClientID: c.Console.ClientID, Scope: strings.Join(c.Console.Scopes, " "), Audience: c.Console.Audience, Token: c.Console.Token,
		AdminScope: c.SignIn.AdminScope, ScopeClaims: c.SignIn.ScopeClaims,
	}
	for _, further := range c.SignIn.Further {
		if further.URL == c.Console.Issuer {
			s.Issuer, s.AdminScope, s.ScopeClaims = further.URL, further.AdminScope, further.ScopeClaims
		}
	}
	return s
}

// policy is the page's Content-Security-Policy. It allows the page's own files, the API and the
// issuer, and nothing else. No script may be made from text. Trusted Types make one exception: the
// page may start its service worker by its URL.
func (c Config) policy() string {
	connect := []string{"'self'"}
	if u, err := url.Parse(c.signIn().Issuer); err == nil {
		connect = append(connect, u.Scheme+"://"+u.Host)
	}
	connect = append(connect, c.Console.Connect...)
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self'",
		"connect-src " + strings.Join(connect, " "),
		"manifest-src 'self'",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types push-worker",
	}, "; ")
}
