package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/duebell/duebell/shared/fault"
)

// CORS says which other sites' pages may call the API (cross-origin resource sharing, of
// the Fetch standard). Cookies play no part: what lets a caller in is the Authorization
// header, which a page must have to send it.
type CORS struct {
	Origins []string `env:"CORS_ORIGINS" help:"the origins of the sites whose pages may call the API, like https://app.example.com, with commas between; * means any site; unset means none"`
}

// Validate reports what is wrong with the configuration.
func (c CORS) Validate() error {
	var problems []error
	for _, origin := range c.Origins {
		u, err := url.Parse(origin)
		isOrigin := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && origin == u.Scheme+"://"+u.Host
		if origin != "*" && (!isOrigin || origin != strings.ToLower(origin)) {
			problems = append(problems, fmt.Errorf("CORS_ORIGINS: %q is no origin; write it as browsers do, like https://app.example.com or http://localhost:3000: in small letters, without a path", origin))
		}
	}
	return errors.Join(problems...)
}

const (
	corsMethods = "GET, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, If-Match, Idempotency-Key, Duebell-User, Last-Event-ID, X-Request-Id"
	corsExposed = "ETag, Location, Retry-After, X-Request-Id"
	corsMaxAge  = "7200" // seconds; no browser keeps the answer to a preflight longer
)

// Handler returns a handler that serves h to pages of other sites, too, and answers their
// preflights. Without origins it returns h.
func (c CORS) Handler(h http.Handler) http.Handler {
	if len(c.Origins) == 0 {
		return h
	}
	return Handler(func(w http.ResponseWriter, r *http.Request) error {
		origin := r.Header.Get("Origin")
		header := w.Header()
		everybody := slices.Contains(c.Origins, "*")
		if !everybody {
			header.Add("Vary", "Origin")
		}
		allowed := origin != "" && (everybody || slices.Contains(c.Origins, origin))
		if allowed {
			header.Set("Access-Control-Allow-Origin", origin)
			if everybody {
				header.Set("Access-Control-Allow-Origin", "*")
			}
		}
		switch {
		case !IsPreflight(r):
			if allowed {
				header.Set("Access-Control-Expose-Headers", corsExposed)
			}
			h.ServeHTTP(w, r)
			return nil
		case !allowed:
			return fault.Invalid("pages of %.100q may not call this API: their origin is not in CORS_ORIGINS", origin)
		}
		header.Set("Access-Control-Allow-Methods", corsMethods)
		header.Set("Access-Control-Allow-Headers", corsHeaders)
		header.Set("Access-Control-Max-Age", corsMaxAge)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// IsPreflight reports whether a browser asks if a page of another site may make a
// request.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}
