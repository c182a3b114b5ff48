package metrics

import (
	"net/http"
	"strings"
	"time"
)

// Request is an HTTP request that was answered.
type Request struct {
	Pattern string // of http.ServeMux, as http.Request has it; "" if none matched
	Method  string
	Status  int  // 0 if there was no answer
	Cut     bool // the connection was cut before the answer was whole
	Took    time.Duration
}

// Served counts a request. What callers make up, paths and methods, becomes one
// value of the label each.
func Served(r Request) {
	route, method := "none", "other"
	if i := strings.IndexByte(r.Pattern, '/'); i >= 0 {
		route = r.Pattern[i:] // a method may come before it
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		method = r.Method
	}
	served.WithLabelValues(route, method, class(r)).Inc()
	serveTook.WithLabelValues(route, method).Observe(r.Took.Seconds())
}

var classes = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

func class(r Request) string {
	i := r.Status / 100
	if r.Cut || i < 0 || i >= len(classes) {
		i = 0
	}
	return classes[i]
}
