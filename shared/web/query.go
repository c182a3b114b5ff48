package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
)

// Parameters reads a request's query. Ask for each parameter that there may be,
// then for Err: it holds the first thing that is wrong, which includes a
// parameter that was not asked for, because a misspelt filter would silently
// answer too much; or, where that can't be, for Malformed.
type Parameters struct {
	values url.Values
	asked  []string
	err    error
}

// Query returns the parameters of the request.
func Query(r *http.Request) *Parameters {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &Parameters{values: values}
	if err != nil {
		p.err = fault.Invalid("the query string is malformed: put & between parameters, and percent-encode their values")
	}
	return p
}

// Malformed is Err, but that parameters which were not asked for are passed over.
func (p *Parameters) Malformed() error { return p.err }

// Err returns what is wrong with the query, an invalid fault, or nil.
func (p *Parameters) Err() error {
	for name := range p.values {
		if !slices.Contains(p.asked, name) {
			p.refuse("there is no parameter %.40q; possible: %v", name, p.asked)
		}
	}
	return p.err
}

// String returns a parameter, "" if it is not given.
func (p *Parameters) String(name string) string {
	p.asked = append(p.asked, name)
	if len(p.values[name]) > 1 {
		p.refuse("%s is given more than once", name)
	}
	return p.values.Get(name)
}

// Bool returns a parameter that is true or false, nil if it is not given.
func (p *Parameters) Bool(name string) *bool {
	switch s := p.String(name); s {
	case "":
		return nil
	case "true", "false":
		is := s == "true"
		return &is
	default:
		p.refuse("%s must be true or false, not %.40q", name, s)
		return nil
	}
}

// Time returns a parameter that is a time with an offset (RFC 3339), nil if it
// is not given.
func (p *Parameters) Time(name string) *time.Time {
	s := p.String(name)
	if s == "" {
		return nil
	}
	t, err := ParseTime(s)
	if err != nil {
		e, _ := errors.AsType[*fault.Error](err)
		p.refuse("%s %s; the + of an offset is written %%2B", name, e.Message)
		return nil
	}
	return &t
}

// Date returns a parameter that is a day, as its first instant in UTC, nil if it is not
// given.
func (p *Parameters) Date(name string) *time.Time {
	s := p.String(name)
	if s == "" {
		return nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		p.refuse("%s must be a day such as 2026-11-23, not %.40q", name, s)
		return nil
	}
	return &t
}

// Int returns a parameter that is a whole number from least to most, and
// otherwise if it is not given.
func (p *Parameters) Int(name string, otherwise, least, most int) int {
	s := p.String(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		p.refuse("%s must be a whole number from %d to %d, not %.40q", name, least, most, s)
	}
	return n
}

// UUID returns a parameter that is a UUID, nil if it is not given.
func (p *Parameters) UUID(name string) *uuid.UUID {
	s := p.String(name)
	if s == "" {
		return nil
	}
	id, err := ParseUUID(name, s)
	if err != nil && p.err == nil {
		p.err = err
	}
	return &id
}

func (p *Parameters) refuse(format string, args ...any) {
	if p.err == nil {
		p.err = fault.Invalid(format, args...)
	}
}
