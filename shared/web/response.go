package web

import (
	"bufio"
	"net"
	"net/http"
)

// Response is an http.ResponseWriter that remembers what was answered. It can
// do all that the writer under it can: flush, hijack, set deadlines.
type Response struct {
	http.ResponseWriter
	status   int
	onAnswer func() // called before the answer begins; may be nil
}

// Track returns w as a Response: w itself if it is one.
func Track(w http.ResponseWriter) *Response {
	if response, ok := w.(*Response); ok {
		return response
	}
	return &Response{ResponseWriter: w}
}

// Status returns the status that was answered: 0 as long as nothing was, 101
// once the connection was taken over.
func (w *Response) Status() int { return w.status }

// Unwrap returns the writer under it, for http.ResponseController.
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *Response) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.begin(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *Response) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// FlushError sends what is buffered, as http.ResponseController does.
func (w *Response) FlushError() error {
	w.begin(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (w *Response) Flush() { _ = w.FlushError() }

// Hijack implements http.Hijacker.
func (w *Response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && w.status == 0 {
		w.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

func (w *Response) begin(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if w.onAnswer != nil {
		w.onAnswer()
	}
}
