package web

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Optional is a member of a JSON merge patch (RFC 7396): left out, null, which
// removes, or a value.
type Optional[T any] struct {
	Present bool // the member is there, null or not
	Null    bool
	Value   T // the zero value unless Present and not Null
}

// Given reports whether the member has a value.
func (o Optional[T]) Given() bool { return o.Present && !o.Null }

// UnmarshalJSONFrom implements json.UnmarshalerFrom. It is called only for
// members that are there.
func (o *Optional[T]) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	*o = Optional[T]{Present: true}
	if decoder.PeekKind() == 'n' {
		o.Null = true
		return decoder.SkipValue()
	}
	return json.UnmarshalDecode(decoder, &o.Value)
}
