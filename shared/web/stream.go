package web

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/duebell/duebell/shared/fault"
)

// Stream returns the request's body for reading it piece by piece, and its media type,
// which must be one of those accepted. The errors, also those of reading, are the
// caller's and say what to do:
//
//   - 415 for another Content-Type, a charset that is neither UTF-8 nor UTF-16, or a
//     compressed body
//   - 413 for more than maxBytes
//   - 408 for a body that comes too slowly, see [Server]; it may take 15 minutes
//   - 400 for a body that breaks off
//
// The end of a whole body is io.EOF.
func Stream(w http.ResponseWriter, r *http.Request, maxBytes int64, accepted ...string) (body io.Reader, mediaType string, err error) {
	if err := checkPlain(w, r); err != nil {
		return nil, "", err
	}
	mediaType, charset := parseMediaType(r)
	if charset = strings.ToLower(charset); !slices.Contains(accepted, mediaType) || !slices.Contains([]string{"", "utf-8", "us-ascii", "utf-16"}, charset) {
		list := strings.Join(accepted, ", ")
		w.Header().Set("Accept-Post", list)
		return nil, "", WithStatus(fault.Invalid("send the header Content-Type with one of %s, and the body in UTF-8", list), http.StatusUnsupportedMediaType)
	}
	if r.ContentLength > maxBytes {
		return nil, "", tooLarge(maxBytes)
	}
	LongBody(r)
	return &stream{body: http.MaxBytesReader(w, r.Body, maxBytes), maxBytes: maxBytes}, mediaType, nil
}

type stream struct {
	body     io.Reader
	maxBytes int64
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, unread(err, s.maxBytes)
}

// unread says why a body could not be read to its end.
func unread(err error, maxBytes int64) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(maxBytes)
	}
	if errors.Is(err, errSlow) {
		return WithStatus(fault.Invalid("the body came too slowly, or stopped coming; send it again, in smaller parts if need be"), http.StatusRequestTimeout)
	}
	if errors.Is(err, errStopping) {
		return fault.Unavailable(err, "this copy of the function is stopping, and your request has not come whole; send it again")
	}
	e := fault.Invalid("the body could not be read to its end")
	e.Err = err
	return e
}

func tooLarge(maxBytes int64) error {
	return WithStatus(fault.Invalid("the body is larger than the %d bytes that are read here", maxBytes), http.StatusRequestEntityTooLarge)
}
