package function

import (
	"errors"
	"net/http"
	"os"
	"path"
	_ "unsafe" // for go:linkname

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	_ "github.com/GoogleCloudPlatform/functions-framework-go/funcframework" // has initServer
)

// initServer is the functions framework's: it returns the handler of the function that
// FUNCTION_TARGET names. The framework exports only StartHostPort, which serves that
// handler with an http.Server that has no time-outs, so that a client who never ends
// its headers would hold a connection for ever.
//
//go:linkname initServer github.com/GoogleCloudPlatform/functions-framework-go/funcframework.initServer
func initServer() (*http.ServeMux, error)

// framework returns a handler that serves h as the functions framework does. The
// framework takes its settings from the environment: FUNCTION_TARGET, so that the
// function gets every path, and K_SERVICE, which would make it print an empty line into
// the log for every request. It redirects paths that are not in their shortest form, so
// those don't reach it.
func framework(name string, h http.Handler) (http.Handler, error) {
	if err := errors.Join(os.Setenv("FUNCTION_TARGET", name), os.Unsetenv("K_SERVICE")); err != nil {
		return nil, err
	}
	functions.HTTP(name, h.ServeHTTP)
	mux, err := initServer()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isShortest(r.URL.Path) {
			mux.ServeHTTP(w, r)
		} else {
			h.ServeHTTP(w, r)
		}
	}), nil
}

func isShortest(p string) bool {
	shortest := path.Clean("/" + p)
	return p == shortest || p == shortest+"/" && shortest != "/"
}
