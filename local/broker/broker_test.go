package broker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/duebell/duebell/local/broker"
	"github.com/duebell/duebell/local/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *broker.Broker {
	t.Helper()
	ports, err := process.FreePorts(0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(broker.Options{Dir: filepath.Join(t.TempDir(), "kafka"), Port: ports[0], Topics: []string{"first", "second"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

// consumer is a member of a group, from the beginning of a topic.
func consumer(t *testing.T, b *broker.Broker, topic string) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Address()), kgo.ConsumeTopics(topic), kgo.ConsumerGroup("group"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func publish(t *testing.T, b *broker.Broker, topic string, texts ...string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Address()), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, text := range texts {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(text)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// take takes so many records, and says that it has.
func take(t *testing.T, c *kgo.Client, n int) (texts []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(texts) < n {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("only %v came", texts)
		}
		fetches.EachRecord(func(r *kgo.Record) { texts = append(texts, string(r.Value)) })
	}
	if err := c.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	slices.Sort(texts)
	return texts
}

// Stopped and started again, it has what was published, and knows who has had what.
func TestKeepsWhatItHas(t *testing.T) {
	b := start(t)
	publish(t, b, "first", "a", "b")
	c := consumer(t, b, "first")
	if got := take(t, c, 2); fmt.Sprint(got) != "[a b]" {
		t.Errorf("came: %v", got)
	}
	c.Close()
	publish(t, b, "first", "c")
	publish(t, b, "third", "x") // made when it is first used

	address := b.Address()
	b.Stop()
	b.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	away, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	if err := away.Ping(ctx); err == nil {
		t.Error("it answers when it is stopped")
	}
	away.Close()

	for range 2 {
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if b.Address() != address {
		t.Errorf("its address was %s and is %s", address, b.Address())
	}
	c = consumer(t, b, "first")
	if got := take(t, c, 1); fmt.Sprint(got) != "[c]" {
		t.Errorf("then came: %v", got)
	}
	c.Close()
	third := consumer(t, b, "third")
	if got := take(t, third, 1); fmt.Sprint(got) != "[x]" {
		t.Errorf("of the third topic came: %v", got)
	}
	third.Close()
}

// Events are of people: nobody else on this machine reads them, also in a folder that an
// older version has made.
func TestOthersCanNotRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kafka")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ports, err := process.FreePorts(0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(broker.Options{Dir: dir, Port: ports[0], Topics: []string{"first"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	publish(t, b, "first", "secret")
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
}

func TestPortThatIsTaken(t *testing.T) {
	b := start(t)
	var port int
	if _, err := fmt.Sscanf(b.Address(), "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	other, err := broker.Start(broker.Options{Dir: t.TempDir(), Port: port})
	if err == nil {
		t.Error("two brokers listen on one port")
	}
	other.Stop()
}

// What is published to a slow broker is there when it has taken its time, or is slow no more.
func TestSlow(t *testing.T) {
	b := start(t)
	b.Slow(300 * time.Millisecond)
	began := time.Now()
	publish(t, b, "first", "a")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	b.Slow(time.Hour)
	published := make(chan struct{})
	go func() {
		defer close(published)
		publish(t, b, "first", "b")
	}()
	select {
	case <-published:
		t.Error("it did not wait")
	case <-time.After(300 * time.Millisecond): // in which it must not come
	}
	b.Slow(0)
	<-published
}
