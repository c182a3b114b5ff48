// Package config reads a program's settings from environment variables into structs. It reports all
// problems at once.
//
// The tags of github.com/caarlos0/env name the variables. A help tag says what to set a variable
// to.
//
//	type Config struct {
//		URL     config.Secret `env:"DATABASE_URL,required" help:"the URL of the Postgres database"`
//		Timeout time.Duration `env:"DATABASE_TIMEOUT" envDefault:"5s"`
//	}
//
// A field that is a struct without an env tag is read field by field. So a program's struct embeds
// the structs of the packages that it uses. Each of them may have a method Validate() error or
// Validate() []string. It returns one line for each problem, which begins with the variable's name.
package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Parse reads a T, which must be a struct, from environ, whose entries are like those of
// os.Environ. A variable with an empty value counts as not set.
//
// The error has one line for each variable that is missing, malformed or invalid, which begins with
// the variable's name. It never has the value of a [Secret].
func Parse[T any](environ []string) (T, error) {
	var cfg T
	p := parser{environment: env.ToMap(environ), unread: map[string]bool{}}
	for name, value := range p.environment {
		if value == "" {
			delete(p.environment, name)
		}
	}
	walk(reflect.ValueOf(&cfg).Elem(), "", p.read, p.validate)
	if len(p.problems) == 0 {
		return cfg, nil
	}
	var zero T
	return zero, errors.New(p.redact(strings.Join(p.problems, "\n")))
}

// Variable describes one variable that a struct reads.
type Variable struct {
	Name     string
	Default  string // "" if there is none
	Help     string // what to set it to
	Required bool
	Secret   bool
}

// Variables lists the variables that T reads, in the order of its fields.
func Variables[T any]() []Variable {
	var list []Variable
	walk(reflect.ValueOf(new(T)).Elem(), "", func(f field) {
		list = append(list, f.variable())
	}, func(reflect.Value) {})
	return list
}

// field is a field of a struct with its variable.
type field struct {
	reflect.StructField
	value  reflect.Value
	prefix string
}

func (f field) variable() Variable {
	name, options, _ := strings.Cut(f.Tag.Get("env"), ",")
	return Variable{
		Name:     f.prefix + name,
		Default:  f.Tag.Get("envDefault"),
		Help:     f.Tag.Get("help"),
		Required: slices.Contains(strings.Split(options, ","), "required"),
		Secret:   isSecret(f.Type),
	}
}

// walk calls leaf for each field of v that has an env tag. It descends into structs without one,
// and calls leave for each struct after its fields.
func walk(v reflect.Value, prefix string, leaf func(field), leave func(reflect.Value)) {
	if v.Kind() != reflect.Struct {
		panic(fmt.Sprintf("config: %s is not a struct", v.Type()))
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch _, tagged := f.Tag.Lookup("env"); {
		case !f.IsExported():
		case tagged:
			leaf(field{f, v.Field(i), prefix})
		case f.Type.Kind() == reflect.Struct:
			walk(v.Field(i), prefix+f.Tag.Get("envPrefix"), leaf, leave)
		}
	}
	leave(v)
}

type parser struct {
	environment map[string]string
	unread      map[string]bool // variables that are missing or malformed
	problems    []string
	secrets     []string
}

// read sets one field. It parses the field as a struct of its own, because env's errors name fields
// and not variables.
func (p *parser) read(f field) {
	alone := reflect.New(reflect.StructOf([]reflect.StructField{
		{Name: f.Name, Type: f.Type, Tag: f.Tag},
	}))
	err := env.ParseWithOptions(alone.Interface(), env.Options{Environment: p.environment, Prefix: f.prefix})
	if err != nil {
		name := f.variable().Name
		p.unread[name] = true
		p.problems = append(p.problems, name+" "+explain(err, f))
		return
	}
	f.value.Set(alone.Elem().Field(0))
	switch value := f.value.Interface().(type) {
	case Secret:
		p.secrets = append(p.secrets, value.Reveal())
	case []Secret:
		for _, secret := range value {
			p.secrets = append(p.secrets, secret.Reveal())
		}
	}
}

// validate calls the Validate of a struct whose fields were read.
func (p *parser) validate(v reflect.Value) {
	var problems []string
	switch v := v.Addr().Interface().(type) {
	case interface{ Validate() error }:
		if err := v.Validate(); err != nil {
			problems = strings.Split(err.Error(), "\n")
		}
	case interface{ Validate() []string }:
		problems = v.Validate()
	}
	for _, problem := range problems {
		// Leave out variables that are reported as missing already, and lines that are there
		// already: an embedded struct's Validate is also the outer struct's.
		name, _, _ := strings.Cut(problem, " ")
		if !p.unread[name] && !slices.Contains(p.problems, problem) {
			p.problems = append(p.problems, problem)
		}
	}
}

// redact masks secrets in a message, since errors such as url.Parse's quote them. It leaves very
// short secrets, which may be part of ordinary words.
func (p *parser) redact(message string) string {
	for _, secret := range p.secrets {
		if len(secret) >= 4 {
			message = strings.ReplaceAll(message, secret, mask)
		}
	}
	return message
}

// explain returns what is wrong with a variable and what to do, without its value.
func explain(err error, f field) string {
	want := describe(f.Type)
	if help := f.Tag.Get("help"); help != "" {
		want = help
	}
	if _, ok := errors.AsType[env.VarIsNotSetError](err); ok {
		return "is missing: set it to " + want
	}
	if unreadable, ok := errors.AsType[env.LoadFileContentError](err); ok {
		return fmt.Sprintf("names a file that can't be read: %v", unreadable.Err)
	}
	if malformed, ok := errors.AsType[env.ParseError](err); ok {
		if reflect.PointerTo(f.Type).Implements(textUnmarshaler) {
			return fmt.Sprintf("is malformed: set it to %s (%v)", want, malformed.Err)
		}
		return "is malformed: set it to " + describe(f.Type)
	}
	return err.Error()
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func isSecret(t reflect.Type) bool {
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t == reflect.TypeFor[Secret]()
}

// describe returns the values that a variable of type t takes.
func describe(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 90s or 24h"
	case reflect.TypeFor[time.Location]():
		return "a time zone such as Europe/Paris"
	case reflect.TypeFor[url.URL]():
		return "a URL"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, 0 or more"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list separated by commas, each " + describe(t.Elem())
	case reflect.Pointer:
		return describe(t.Elem())
	default:
		return "a value"
	}
}
