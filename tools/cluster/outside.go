package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/duebell/duebell/local/broker"
	"github.com/duebell/duebell/local/issuer"
	"github.com/duebell/duebell/local/postgres"
)

// Addresses of what is outside of the cluster. All are the node's.
const (
	nodeAddress  = "192.0.2.1"
	filesAddress = "192.0.2.2"

	issuerURL     = "http://issuer.login.svc.cluster.local"
	kafkaPassword = "a password of Kafka"
)

// outside is what a cluster finds outside of itself.
type outside struct {
	home     home
	issuer   *issuer.Issuer
	postgres *postgres.Server
	broker   *broker.Broker
}

// serveRegistry serves the registry for containerd, by plain HTTP.
func serveRegistry(handler http.Handler) error { return serve("127.0.0.1:5000", handler, nil) }

// serve serves until this process ends.
func serve(address string, handler http.Handler, config *tls.Config) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // until the process ends
	return nil
}

// startOutside starts all of it but the registry.
func startOutside(ctx context.Context, h home, registry http.Handler) (*outside, error) {
	cert, err := tls.LoadX509KeyPair(h.path("pki", "outside.crt"), h.path("pki", "outside.key"))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle(registryHost+"/", registry)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { // github.com/...: see writeReleases
		http.ServeFile(w, r, h.path("files", r.Host, r.URL.Path))
	})
	if err := serve(filesAddress+":443", mux, &tls.Config{Certificates: []tls.Certificate{cert}}); err != nil {
		return nil, err
	}
	o := &outside{home: h}
	if o.issuer, err = issuer.New(issuerURL, h.path("run", "issuer.key")); err != nil {
		return nil, err
	}
	kafka, err := tls.LoadX509KeyPair(h.path("pki", "kafka.crt"), h.path("pki", "kafka.key"))
	if err != nil {
		return nil, err
	}
	o.broker, err = broker.Start(broker.Options{
		Dir: h.path("var", "kafka"), Host: nodeAddress, Port: 9093, Topics: []string{"task-reminders"},
		TLS: &tls.Config{Certificates: []tls.Certificate{kafka}}, User: "duebell", Password: kafkaPassword,
	})
	if err != nil {
		return nil, err
	}
	o.postgres, err = postgres.Start(ctx, postgres.Options{
		Dir: h.path("var", "postgres"), LogFile: h.path("log", "postgres.log"), Settings: []string{"max_connections=400"},
	})
	if err != nil {
		return nil, err
	}
	if err := o.keepDatabaseURL(); err != nil {
		return nil, err
	}
	return o, forward(nodeAddress+":5432", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.postgres.Port())))
}

// keepDatabaseURL notes the database's URL, as pods reach it and as we do.
func (o *outside) keepDatabaseURL() error {
	u, err := url.Parse(o.postgres.URL())
	if err != nil {
		return err
	}
	u.Host = "postgres.example.org:5432"
	return os.WriteFile(o.home.path("run", "database.url"), []byte(u.String()), 0o600)
}

// databaseURL returns what keepDatabaseURL has noted.
func (h home) databaseURL() (string, error) {
	noted, err := os.ReadFile(h.path("run", "database.url"))
	return string(noted), err
}

// token signs somebody in.
func (o *outside) token(user, scope string) (string, error) {
	return o.issuer.Token(issuer.Claims{Subject: user, Audience: "duebell", Scope: scope, Lifetime: 12 * time.Hour})
}

// forward passes connections on.
func forward(from, to string) error {
	listener, err := net.Listen("tcp", from)
	if err != nil {
		return err
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				server, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer server.Close()
				go func() {
					_, _ = io.Copy(server, client)
					_ = server.(*net.TCPConn).CloseWrite()
				}()
				_, _ = io.Copy(client, server)
			}()
		}
	}()
	return nil
}

// serveIssuer is the issuer in its pod.
func serveIssuer(ctx context.Context, keyFile string) error {
	i, err := issuer.New(issuerURL, keyFile)
	if err != nil {
		return err
	}
	if err := serve(":8080", i.Handler(), nil); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
