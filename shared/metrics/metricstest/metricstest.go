// Package metricstest reads the process's metrics in tests.
package metricstest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/metrics"
)

// Values are the samples of /metrics: how each is written, without its value, and
// that value.
type Values map[string]float64

// Read returns Duebell's own samples as they are now.
func Read(t testing.TB) Values {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	values, err := Parse(w.Body.String())
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// Parse returns Duebell's own samples in what /metrics answered.
func Parse(text string) (Values, error) {
	values := Values{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "duebell_") {
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		if space < 0 {
			return nil, fmt.Errorf("%q is not a sample", line)
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a sample: %w", line, err)
		}
		values[line[:space]] = value
	}
	return values, nil
}

// Since returns what the counters have grown by since they were read, of those
// whose names begin with one of the prefixes. What has not changed is left out.
func Since(t testing.TB, before Values, prefixes ...string) Values {
	t.Helper()
	grown := Values{}
	for sample, value := range Read(t) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(sample, prefix) && value != before[sample] {
				grown[sample] = value - before[sample]
			}
		}
	}
	return grown
}
