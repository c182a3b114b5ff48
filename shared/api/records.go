package api

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// MaxRecord is how long one task may be, as it is written: longer than the longest
// title and notes can be with every character escaped.
const MaxRecord = 128 << 10

// ErrTooLong is what Records.Next returns for a record that is longer. It has been
// passed over.
var ErrTooLong = errors.New("too long")

// Records cuts a file of tasks into records, as it comes: lines, and for CSV rows, whose quoted
// cells may have line breaks (RFC 4180). Empty lines are passed over. It holds one
// record at a time.
type Records struct {
	// Line is where the record begins that was returned last, counted from 1.
	Line int

	body *bufio.Reader
	csv  bool
	text []byte // of the record
	ends int    // lines that have ended
}

// NewRecords cuts CSV, or else lines.
func NewRecords(body io.Reader, csv bool) *Records {
	r := &Records{body: bufio.NewReaderSize(body, 64<<10), csv: csv}
	if mark, err := r.body.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = r.body.Discard(3) // what Excel puts before UTF-8
	}
	return r
}

// Next returns the next record, without the line break at its end. It is valid until
// the next call. io.EOF says that there are no more, and that the body is whole.
func (r *Records) Next() ([]byte, error) {
	for {
		text, err := r.read()
		if err != nil || len(text) > 0 {
			return text, err
		}
	}
}

func (r *Records) read() ([]byte, error) {
	r.text, r.Line = r.text[:0], r.ends+1
	long := false
	var cell quoting
	for {
		part, err := r.body.ReadSlice('\n')
		if !long && len(r.text)+len(part) > MaxRecord {
			long, r.text = true, r.text[:0]
		}
		if !long {
			r.text = append(r.text, part...)
		}
		open := r.csv && !long && cell.open(part)
		switch {
		case err == nil:
			r.ends++
			if open {
				continue
			}
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (len(r.text) > 0 || long):
		default:
			return nil, err
		}
		if long {
			return nil, ErrTooLong
		}
		if r.csv {
			return bytes.TrimRight(r.text, "\r\n"), nil
		}
		return bytes.TrimSpace(r.text), nil
	}
}

// quoting says where in a row of CSV a reader is.
type quoting int

const (
	atCellStart quoting = iota
	unquoted
	quoted
	afterQuote // in a quoted cell: its end, or the first of two
)

// open reads on, and reports whether a quoted cell goes on after that.
func (q *quoting) open(text []byte) bool {
	for _, c := range text {
		switch {
		case *q == quoted:
			if c == '"' {
				*q = afterQuote
			}
		case c == '"' && *q != unquoted: // the start of a cell, or the second of two
			*q = quoted
		case c == ',':
			*q = atCellStart
		default:
			*q = unquoted
		}
	}
	return *q == quoted
}
