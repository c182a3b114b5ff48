package web_test

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/web"
)

// readers are all ways in which a time gets in.
var readers = map[string]func(s string) (time.Time, error){
	"body": func(s string) (time.Time, error) {
		var in struct {
			Due web.Time `json:"due"`
		}
		err := web.DecodeJSON([]byte(`{"due":"`+s+`"}`), &in)
		return time.Time(in.Due), err
	},
	"query": func(s string) (time.Time, error) {
		q := web.Query(httptest.NewRequest("GET", "/?due="+url.QueryEscape(s), nil))
		if t := q.Time("due"); t != nil {
			return *t, q.Err()
		}
		return time.Time{}, q.Err()
	},
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	for name, read := range readers {
		for s, want := range map[string]time.Time{
			"2026-11-23T14:30:00Z": at, "2026-11-23t14:30:00z": at, "2026-11-23T15:30:00+01:00": at, "2026-11-23T14:30:00-00:00": at,
			"2026-11-24T14:29:00+23:59": at, "2026-11-23T14:30:00.5Z": at.Add(time.Second / 2), "2026-11-23T14:30:00.123456789Z": at.Add(123456789),
		} {
			if got, err := read(s); err != nil || !got.Equal(want) {
				t.Errorf("%s %s: %v, %v, want %v", name, s, got, err, want)
			}
		}
		for s, want := range map[string]string{
			"2026-11-23T14:30:00+24:00": "+01:00, not", "2026-11-23T14:30:00,5Z": "", "2026-11-23T14:30:00+01:60": "", "2026-11-23T4:30:00Z": "",
			"2026-11-23T14:30Z": "", "2026-11-23 14:30:00Z": "", "2026-11-23T14:30:00": "", "2026-11-23": "", "2026-11-23T24:00:00Z": "", "2026-02-29T14:30:00Z": "",
			"2026-11-23T14:30:60Z": "", "2026-11-23T14:30:00.Z": "", "+2026-11-23T14:30:00Z": "", "2026-11-23T14:30:00+0100": "", "2026-11-23T14:30:00 01:00": "",
			"1795444200": "write it as 2026-11-23T14:30:00Z, not as the number", "1795444200000": "write it as 2026-11-23T14:30:00Z, not as the number",
			"1795444200.5": "write it as 2026-11-23T14:30:00.5Z", "20261123": "write it as 2026-11-23T14:30:00Z or", "1e400": "", "NaN": "", "-1": "",
		} {
			_, err := read(s)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Code != fault.CodeInvalid || !strings.Contains(f.Message, "due must be a time with an offset: write it as ") || !strings.Contains(f.Message, want) {
				t.Errorf("%s %s: %v", name, s, err)
			}
		}
	}
	// In a body a number may also be one.
	var in struct {
		Due web.Time `json:"due"`
	}
	err := web.DecodeJSON([]byte(`{"due":1795444200}`), &in)
	if f, ok := errors.AsType[*fault.Error](err); !ok || !strings.Contains(f.Message, "/due must be a time with an offset: write it as 2026-11-23T14:30:00Z, not as the number 1795444200") {
		t.Errorf("a number: %v", err)
	}
}
