package web

import (
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/duebell/duebell/shared/fault"
)

// Time is a time in a request's body, see [ParseTime].
type Time time.Time

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *Time) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	kind := decoder.PeekKind()
	value, err := decoder.ReadValue()
	if err != nil {
		return err
	}
	text := string(value) // a number
	switch kind {
	case '0':
	case '"':
		if err := json.Unmarshal(value, &text); err != nil {
			return err
		}
	default:
		return &json.SemanticError{JSONKind: kind, GoType: reflect.TypeFor[Time]()}
	}
	parsed, err := ParseTime(text)
	*t = Time(parsed)
	return err
}

// ParseTime reads a time as RFC 3339 has it, with an offset. So "t" and "z" may be small
// letters; a comma before the fraction, an offset of 24 hours and a leap second, of
// which none is announced, are wrong. The error is invalid, and to be put after what the
// time is called.
func ParseTime(s string) (time.Time, error) {
	if rfc3339.MatchString(s) {
		if t, err := time.Parse(time.RFC3339, strings.ToUpper(s)); err == nil {
			return t, nil
		}
	}
	if at, ok := fromUnix(s); ok {
		return time.Time{}, fault.Invalid("must be a time with an offset: write it as %s, not as the number %.40s", at.Format(time.RFC3339Nano), s)
	}
	return time.Time{}, fault.Invalid("must be a time with an offset: write it as 2026-11-23T14:30:00Z or 2026-11-23T15:30:00+01:00, not %.40q", s)
}

// time.Parse takes more: a comma, an hour of one digit, an offset of 24 hours.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// fromUnix guesses what somebody means who writes a time as seconds or milliseconds
// since 1970.
func fromUnix(s string) (time.Time, bool) {
	n, err := strconv.ParseFloat(s, 64)
	if math.Abs(n) >= 1e11 {
		n /= 1000
	}
	if err != nil || !(math.Abs(n) < 1e11) {
		return time.Time{}, false
	}
	at := time.UnixMilli(int64(math.Round(n * 1000))).UTC()
	return at, at.Year() >= 2000 && at.Year() < 2100
}
