package auth

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// stringList is a claim that is one string or an array of them.
type stringList []string

func (l *stringList) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	if decoder.PeekKind() == '[' {
		return json.UnmarshalDecode(decoder, (*[]string)(l))
	}
	var one string
	if err := json.UnmarshalDecode(decoder, &one); err != nil {
		return err
	}
	*l = stringList{one}
	return nil
}

// flag is a boolean claim, which some issuers send as a string.
type flag bool

func (f *flag) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	value, err := decoder.ReadValue()
	if err != nil {
		return err
	}
	switch string(value) {
	case `true`, `"true"`:
		*f = true
	case `false`, `"false"`, `null`:
		*f = false
	default:
		return errors.New("not a boolean")
	}
	return nil
}
