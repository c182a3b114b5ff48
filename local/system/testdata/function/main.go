// A function that only reports about itself.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
)

func main() {
	if os.Getenv("BROKEN") == filepath.Base(os.Args[0]) {
		fmt.Println("BROKEN is set")
		os.Exit(3)
	}
	go func() {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
		os.Exit(0)
	}()
	var jobs atomic.Int64
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/job/", func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("dapr-api-token") == os.Getenv("APP_API_TOKEN") {
			jobs.Add(1)
		}
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		var names []string
		for _, variable := range os.Environ() {
			name, _, _ := strings.Cut(variable, "=")
			names = append(names, name)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"function": filepath.Base(os.Args[0]), "variables": names, "jobs": jobs.Load(), "pid": os.Getpid(),
		})
	})
	err := http.ListenAndServe(net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")), nil)
	fmt.Println(err)
	os.Exit(1)
}
