// Package life holds the tests of a reminder's whole life: they run schedule, fire, deliver
// and upkeep together, on a real Postgres, with a Dapr and providers that do what a test
// tells them to.
package life
