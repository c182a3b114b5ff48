package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"

	"github.com/duebell/duebell/cmd/duebell/install"
	"github.com/duebell/duebell/shared/config"
)

// deploy installs Duebell on a cluster, or upgrades it.
func deploy(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("deploy", flag.ContinueOnError)
	overlay := flags.String("overlay", production, "the folder that is applied; with the settings below it is written, otherwise it is taken as it is")
	var s install.Settings
	flags.StringVar(&s.Host, "host", "", "the host name of the API")
	flags.StringVar(&s.Gateway, "gateway", "", "NAMESPACE/NAME of the gateway that the public reaches")
	flags.StringVar(&s.Issuer, "issuer", "", "the URL of the OpenID Connect issuer")
	flags.StringVar(&s.Audience, "audience", "", "the audience of its tokens")
	flags.StringVar(&s.Events, "events", "", "where events go: kafka, redis or none, which is the default")
	flags.StringVar(&s.Broker, "broker", "", "HOST:PORT of Kafka or Redis")
	registry := flags.String("registry", "", "build the images and publish them there first, such as registry.example.com/duebell")
	if err := parse(flags, args); err != nil {
		return err
	}
	cfg, err := config.Parse[struct {
		Cluster       clusterConfig
		KafkaUsername config.Secret `env:"KAFKA_USERNAME" envDefault:"duebell"`
		KafkaPassword config.Secret `env:"KAFKA_PASSWORD"`
		KafkaCA       config.Secret `env:"KAFKA_CA"`
		RedisPassword config.Secret `env:"REDIS_PASSWORD"`
	}](os.Environ())
	if err != nil {
		return err
	}
	if s != (install.Settings{}) {
		if err := install.WriteOverlay(*overlay, s); err != nil {
			return err
		}
	} else if _, err := os.Stat(*overlay); err != nil {
		return fmt.Errorf("there is no folder %s: -host, -gateway, -issuer and -audience make it", *overlay)
	}
	out := newScreen(os.Stdout)
	if *registry != "" {
		out.text("The images are built and published")
		if err := publish(ctx, *registry); err != nil {
			return err
		}
	}
	o := cfg.Cluster.options(*overlay, out)
	o.Planned = map[string]install.Secrets{}
	if cfg.Cluster.DatabaseURL != "" {
		o.Planned["duebell-database"] = install.Secrets{"DATABASE_URL": cfg.Cluster.DatabaseURL}
	}
	if cfg.KafkaPassword != "" {
		o.Planned["duebell-kafka"] = install.Secrets{"username": cfg.KafkaUsername, "password": cfg.KafkaPassword, "ca": cfg.KafkaCA}
	}
	if cfg.RedisPassword != "" {
		o.Planned["duebell-redis"] = install.Secrets{"password": cfg.RedisPassword}
	}
	out.text("Duebell is installed from " + *overlay + "; it may be broken off and repeated")
	if err := install.Deploy(ctx, o); err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return err
	}
	out.text("Duebell is installed. docs/deploy.md says how the first reminder is made")
	return nil
}

// publish builds and publishes the images as docs/deploy.md says, and sets their names in the
// manifests.
func publish(ctx context.Context, registry string) error {
	build := exec.CommandContext(ctx, "make", "images", "REPO="+registry)
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) }
	if err := build.Run(); err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return fmt.Errorf("make images REPO=%s: %w", registry, err)
	}
	images, err := os.ReadFile("build/images/kustomization.yaml")
	if err != nil {
		return err
	}
	return os.WriteFile("manifests/images/kustomization.yaml", images, 0o644)
}
